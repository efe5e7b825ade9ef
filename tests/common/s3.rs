//! A real server that speaks S3 over HTTP on loopback, which verifies signatures and keeps its
//! objects in a folder.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rivulet::state::{S3, Secret};
use s3s::auth::SimpleAuth;
use s3s::service::{S3ServiceBuilder, SharedS3Service};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

pub(crate) const KEY: &str = "hunter2-and-more";

/// A server of its own, with one bucket, that goes with the test.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) address: SocketAddr,
    control: Arc<Control>,
}

/// How the server fails.
#[derive(Default)]
struct Control {
    /// So many requests are answered with [`status`](Self::status) instead of being done.
    failing: AtomicU64,
    status: AtomicU32,
    requests: AtomicU64,
    /// Held by whoever writes only if there is nothing.
    conditional: Mutex<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("shop")).unwrap();
        let (root, control) = (folder.path().to_owned(), Arc::new(Control::default()));
        let (give, address) = sync_channel(1);
        let shared = Arc::clone(&control);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                give.send(listener.local_addr().unwrap()).unwrap();
                let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
                builder.set_auth(SimpleAuth::from_single("rivulet", KEY));
                let service = builder.build().into_shared();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (service, control, root) =
                        (service.clone(), Arc::clone(&shared), root.clone());
                    let answer = service_fn(move |request| {
                        answer(service.clone(), Arc::clone(&control), root.clone(), request)
                    });
                    tokio::spawn(async move {
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                    });
                }
            });
        });
        let address = address.recv().unwrap();
        Server { folder, address, control }
    }

    pub(crate) fn place(&self, prefix: &str) -> S3 {
        S3 {
            bucket: "shop".into(),
            prefix: prefix.into(),
            endpoint: Some(format!("http://{}", self.address)),
            region: Some("us-east-1".into()),
            keys: Some((Secret::new("rivulet"), Secret::new(KEY))),
            allow_http: true,
        }
    }

    /// The next so many requests are answered so.
    pub(crate) fn fail(&self, count: u64, status: u32) {
        self.control.status.store(status, Ordering::SeqCst);
        self.control.failing.store(count, Ordering::SeqCst);
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.control.requests.load(Ordering::SeqCst)
    }

    /// Where an object is on disk.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join("shop").join(path)
    }
}

/// Answers a request. `s3s-fs` of this version knows no `If-None-Match`; it is seen to here, as S3
/// does: with nobody in between.
async fn answer(
    service: SharedS3Service,
    control: Arc<Control>,
    root: PathBuf,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, Infallible> {
    control.requests.fetch_add(1, Ordering::SeqCst);
    let left =
        control.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
    if left.is_ok() {
        let status = control.status.load(Ordering::SeqCst) as u16;
        return Ok(Response::builder().status(status).body(s3s::Body::empty()).unwrap());
    }
    let is_conditional =
        request.method() == Method::PUT && request.headers().contains_key("if-none-match");
    let _guard = if is_conditional { Some(control.conditional.lock().await) } else { None };
    if is_conditional && root.join(request.uri().path().trim_start_matches('/')).exists() {
        return Ok(Response::builder().status(412).body(s3s::Body::empty()).unwrap());
    }
    match service.call(request).await {
        Ok(response) => Ok(response),
        Err(error) => panic!("the server fails: {error:?}"),
    }
}
