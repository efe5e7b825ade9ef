//! Who may do what: bearer tokens, of which only hashes are known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use super::{Refusal, Scope, Token};

/// What tokens there are. Without any, everyone who reaches the server may do everything.
#[derive(Debug, Clone, Default)]
pub struct Access {
    tokens: Arc<[Token]>,
}

/// What a token is not good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is none of those there are, or there was none.
    Unknown,
    /// It is one, but for other things.
    Scope,
}

impl Access {
    /// These tokens.
    pub fn new(tokens: &[Token]) -> Self {
        Access { tokens: tokens.into() }
    }

    /// Whether a token is good for this. Takes as long for a wrong one as for a right one.
    ///
    /// # Errors
    /// What it is not good for.
    pub fn check(&self, token: &[u8], scope: Scope) -> Result<(), Denied> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let hash = digest(&SHA256, token);
        let mut found = Err(Denied::Unknown);
        for known in self.tokens.iter() {
            if verify_slices_are_equal(&known.hash, hash.as_ref()).is_ok() {
                let is_fine = known.scopes.contains(&scope);
                found = if is_fine || found.is_ok() { Ok(()) } else { Err(Denied::Scope) };
            }
        }
        found
    }

    /// The routes of a router, for those only who may do this.
    pub fn guard(&self, scope: Scope, router: Router) -> Router {
        router.route_layer(from_fn_with_state((self.clone(), scope), guard))
    }
}

async fn guard(
    State((access, scope)): State<(Access, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    if access.tokens.is_empty() && !is_local(request.headers()) {
        return strange_host();
    }
    match access.check(bearer(request.headers()), scope) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.refusal(scope),
    }
}

/// Whether the client means this machine. A page in a browser may have a name of its own resolve to
/// loopback, and ask under that: where no token is asked for, this is what keeps it out.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let host = host.to_str().unwrap_or_default();
    let address = host.parse::<SocketAddr>().map(|it| it.ip()).or_else(|_| host.parse());
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    address.is_ok_and(|it: IpAddr| it.is_loopback()) || name == "localhost" || host == "[::1]"
}

fn strange_host() -> Response {
    let message = "without tokens only requests to localhost are answered";
    Refusal::new(StatusCode::FORBIDDEN, "strange_host", message)
        .with_hint("say Host: localhost, or add [[serve.token]] to the job")
        .into_response()
}

/// The token that is borne; empty, if there is none.
fn bearer(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    match value.split_at_checked("bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => &[],
    }
}

impl Denied {
    fn refusal(self, scope: Scope) -> Response {
        let word = scope.word();
        let hint = format!("send \"Authorization: Bearer TOKEN\" with a token of scope {word:?}");
        match self {
            Denied::Unknown => {
                let code = StatusCode::UNAUTHORIZED;
                let refusal = Refusal::new(code, "unauthorized", "no token that is known");
                let mut response = refusal.with_hint(hint).into_response();
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
                response
            }
            Denied::Scope => {
                let message = format!("this token has not the scope {word:?}");
                let refusal = Refusal::new(StatusCode::FORBIDDEN, "forbidden", message);
                refusal.with_hint(hint).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, scopes: &[Scope]) -> Token {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Token { name: text.to_owned(), hash, scopes: scopes.to_vec() }
    }

    #[test]
    fn a_token_is_good_for_its_scopes_only() {
        let tokens = [token("a", &[Scope::Read]), token("b", &[Scope::Ingest, Scope::Read])];
        let access = Access::new(&tokens);
        assert_eq!(access.check(b"a", Scope::Read), Ok(()));
        assert_eq!(access.check(b"a", Scope::Ingest), Err(Denied::Scope));
        assert_eq!(access.check(b"b", Scope::Ingest), Ok(()));
        assert_eq!(access.check(b"c", Scope::Read), Err(Denied::Unknown));
        assert_eq!(access.check(b"", Scope::Read), Err(Denied::Unknown));
        assert_eq!(Access::default().check(b"", Scope::Definitions), Ok(()));
    }

    #[test]
    fn names_of_others_are_not_this_machine() {
        let is_local = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            super::is_local(&headers)
        };
        for host in ["localhost", "localhost:80", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example:80", "10.0.0.1:80", "localhost.evil.example", ""] {
            assert!(!is_local(host), "{host}");
        }
        assert!(super::is_local(&HeaderMap::new()));
    }

    #[test]
    fn what_is_shown_of_a_token_is_no_secret() {
        let shown = format!("{:?}", token("secret", &[Scope::Read]));
        assert_eq!(shown, r#"Token { name: "secret", scopes: [Read] }"#);
    }
}
