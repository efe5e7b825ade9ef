//! The handshake between two processes, as a state machine that knows no sockets.
//!
//! ```text
//! caller                                     listener
//! Hello: who, to whom, a nonce ────────────►
//!        ◄──────────────────────── Challenge: a nonce
//! Proof that it knows the secret ──────────►            nothing of the job is told before this
//!        ◄──────────────────────── Welcome: its own proof, and its statement
//! Answer: its statement ───────────────────►
//!        ◄──────────────────────── Verdict
//! ```
//! Proofs are HMAC-SHA256 under the secret, over what the message is, the whole Hello and the whole
//! Challenge, so over both nonces, both numbers, and who called: one that was overheard, or comes
//! back to whoever gave it, proves nothing. Without a secret the key is empty, and all else the same.
//!
//! Both sides compare the statements, so both know what differs.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::statement::{Difference, Statement};

/// What every Hello and Challenge begin with.
const MAGIC: &[u8] = b"rivulet mesh";
/// The version of the handshake.
const PROTOCOL: u8 = 1;
/// The greatest message before the other side has proved itself, in bytes.
pub(super) const STRANGER_BYTES_MAX: usize = 128;
/// The greatest message after that: a hundred thousand definitions with long names.
pub(super) const STATEMENT_BYTES_MAX: usize = 16 << 20;
const PROOF_BYTES: usize = 32;
const NONCE_BYTES: usize = 32;

/// What makes two handshakes different. Never used twice.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// The secret, as what proves that one knows it.
pub(super) struct Key {
    mac: Hmac<Sha256>,
    is_secret: bool,
}

impl Key {
    pub(super) fn new(secret: Option<&[u8]>) -> Self {
        // A key of HMAC may be of any length.
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.unwrap_or_default());
        Key {
            mac: mac.unwrap_or_else(|_| unreachable!("a key of any length")),
            is_secret: secret.is_some(),
        }
    }

    fn proof(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// What a process knows of itself.
pub(super) struct Own {
    pub(super) process: usize,
    pub(super) processes: usize,
    pub(super) key: Key,
    pub(super) statement: Statement,
}

/// Why a handshake comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The other side does not speak as a process of a cluster does.
    Nonsense,
    /// It speaks another version of the handshake, or this one's is not spoken there.
    Protocol,
    /// It does not know the secret, or says that this one does not.
    Secret,
    /// It has no secret, and this process has.
    SecretHere,
    /// It has a secret, and this process has none.
    SecretThere,
    /// It is, or takes this one for, another process than the hosts file has it.
    Host { expected: usize, found: usize },
    /// It is about to run something else.
    Differs(Difference),
    /// It has a connection of this process already.
    Taken,
}

/// What is to be done after a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this, and wait for the next message.
    Send(Vec<u8>),
    /// All is well; what is left to the listener is to send a [`verdict`](Handshake::verdict).
    Met,
    /// It has failed; the other side is to be sent this, if anything.
    Fail(Option<Vec<u8>>, Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The listener has not heard anything.
    Silence,
    /// The caller has said Hello.
    Called,
    /// The listener has sent its challenge.
    Challenged,
    /// The caller has sent its proof.
    Proved,
    /// The listener has sent its statement.
    Welcomed,
    /// The caller has sent its own.
    Answered,
    /// Nothing more is expected.
    Over,
}

/// What a statement goes with.
#[derive(Serialize, Deserialize)]
struct Said {
    process: usize,
    processes: usize,
    statement: Statement,
}

/// One side of a handshake.
pub(super) struct Handshake<'o> {
    own: &'o Own,
    nonce: Nonce,
    stage: Stage,
    /// The number of the other process.
    other: usize,
    /// Whether it has proved that it knows the secret.
    is_proved: bool,
    hello: Vec<u8>,
    challenge: Vec<u8>,
}

/// The first byte of each message, and what its proof is of.
const HELLO: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF: u8 = 3;
const WELCOME: u8 = 4;
const ANSWER: u8 = 5;
const VERDICT: u8 = 6;
const REFUSED: u8 = 7;

/// What a verdict can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome = 0,
    Taken = 1,
}

impl<'o> Handshake<'o> {
    /// The side of the caller, and what it says first.
    pub(super) fn call(own: &'o Own, other: usize, nonce: Nonce) -> (Self, Vec<u8>) {
        let mut hello = vec![HELLO];
        hello.extend_from_slice(MAGIC);
        hello.extend([PROTOCOL, u8::from(own.key.is_secret)]);
        hello.extend(number(own.process));
        hello.extend(number(other));
        hello.extend(nonce);
        let (stage, challenge) = (Stage::Called, Vec::new());
        let is_proved = false;
        (Handshake { own, nonce, stage, other, is_proved, hello: hello.clone(), challenge }, hello)
    }

    /// The side of the listener.
    pub(super) fn listen(own: &'o Own, nonce: Nonce) -> Self {
        let (hello, challenge) = (Vec::new(), Vec::new());
        let (stage, other, is_proved) = (Stage::Silence, usize::MAX, false);
        Handshake { own, nonce, stage, other, is_proved, hello, challenge }
    }

    /// Which process the other side is, once it has proved that it is of this cluster.
    pub(super) fn other(&self) -> Option<usize> {
        self.is_proved.then_some(self.other)
    }

    /// The greatest message that may come now, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        match self.stage {
            Stage::Proved | Stage::Welcomed => STATEMENT_BYTES_MAX,
            _ => STRANGER_BYTES_MAX,
        }
    }

    /// Takes a message.
    pub(super) fn hear(&mut self, message: &[u8]) -> Step {
        let step = self.step(message);
        let step = step.unwrap_or_else(|refusal| Step::Fail(refused(&refusal), refusal));
        if !matches!(step, Step::Send(_)) {
            self.stage = Stage::Over;
        }
        step
    }

    fn step(&mut self, message: &[u8]) -> Result<Step, Refusal> {
        let (kind, body) = message.split_first().ok_or(Refusal::Nonsense)?;
        match (self.stage, *kind) {
            (Stage::Silence, HELLO) => self.hello(message, body),
            (Stage::Called, CHALLENGE) => self.challenge(message, body),
            (Stage::Challenged, PROOF) => self.proof(body),
            (Stage::Proved, WELCOME) => self.welcome(body),
            (Stage::Welcomed, ANSWER) => {
                self.said(ANSWER, body)?;
                Ok(Step::Met)
            }
            (Stage::Answered, VERDICT) => self.judged(body),
            (Stage::Called | Stage::Proved, REFUSED) => Ok(Step::Fail(None, was_refused(body))),
            _ => Err(Refusal::Nonsense),
        }
    }

    fn hello(&mut self, message: &[u8], body: &[u8]) -> Result<Step, Refusal> {
        let body = self.opening(body)?;
        let from = body.get(..4).and_then(read_number);
        self.other = from.filter(|_| body.len() == 8 + NONCE_BYTES).ok_or(Refusal::Nonsense)?;
        self.hello = message.to_vec();
        let mut challenge = vec![CHALLENGE];
        challenge.extend_from_slice(MAGIC);
        challenge.extend([PROTOCOL, u8::from(self.own.key.is_secret)]);
        challenge.extend(self.nonce);
        self.challenge.clone_from(&challenge);
        self.stage = Stage::Challenged;
        Ok(Step::Send(challenge))
    }

    fn challenge(&mut self, message: &[u8], body: &[u8]) -> Result<Step, Refusal> {
        let nonce = self.opening(body)?;
        if nonce.len() != self.nonce.len() {
            return Err(Refusal::Nonsense);
        }
        self.challenge = message.to_vec();
        let mut proof = vec![PROOF];
        proof.extend(self.prove(PROOF, &[]));
        self.stage = Stage::Proved;
        Ok(Step::Send(proof))
    }

    fn proof(&mut self, body: &[u8]) -> Result<Step, Refusal> {
        self.check(PROOF, &[], body)?;
        self.is_proved = true;
        let welcome = self.say(WELCOME);
        self.stage = Stage::Welcomed;
        Ok(Step::Send(welcome))
    }

    fn welcome(&mut self, body: &[u8]) -> Result<Step, Refusal> {
        let found = self.said(WELCOME, body);
        match found {
            Err(refusal @ (Refusal::Host { .. } | Refusal::Differs(_))) => {
                // The other side is to know, too.
                Ok(Step::Fail(Some(self.say(ANSWER)), refusal))
            }
            Err(refusal) => Err(refusal),
            Ok(()) => {
                let answer = self.say(ANSWER);
                self.stage = Stage::Answered;
                Ok(Step::Send(answer))
            }
        }
    }

    fn judged(&self, body: &[u8]) -> Result<Step, Refusal> {
        let (verdict, proof) = body.split_first().ok_or(Refusal::Nonsense)?;
        self.check(VERDICT, &[*verdict], proof)?;
        match *verdict {
            it if it == Verdict::Welcome as u8 => Ok(Step::Met),
            it if it == Verdict::Taken as u8 => Ok(Step::Fail(None, Refusal::Taken)),
            _ => Err(Refusal::Nonsense),
        }
    }

    /// The listener's last word.
    pub(super) fn verdict(&self, verdict: Verdict) -> Vec<u8> {
        let mut message = vec![VERDICT, verdict as u8];
        message.extend(self.prove(VERDICT, &[verdict as u8]));
        message
    }

    /// What comes after the common start of Hello and Challenge.
    fn opening<'m>(&self, body: &'m [u8]) -> Result<&'m [u8], Refusal> {
        let rest = body.strip_prefix(MAGIC).ok_or(Refusal::Nonsense)?;
        let [protocol, is_secret, rest @ ..] = rest else { return Err(Refusal::Nonsense) };
        match (*protocol, self.own.key.is_secret, *is_secret) {
            (PROTOCOL, true, 0) => Err(Refusal::SecretHere),
            (PROTOCOL, false, 1) => Err(Refusal::SecretThere),
            (PROTOCOL, _, 0 | 1) => Ok(rest),
            (PROTOCOL, ..) => Err(Refusal::Nonsense),
            _ => Err(Refusal::Protocol),
        }
    }

    fn mac(&self, kind: u8, content: &[u8]) -> Hmac<Sha256> {
        self.own.key.proof(&[MAGIC, &[kind], &self.hello, &self.challenge, content])
    }

    fn prove(&self, kind: u8, content: &[u8]) -> [u8; PROOF_BYTES] {
        self.mac(kind, content).finalize().into_bytes().into()
    }

    /// Checks a proof, in a time that does not tell how much of it is right.
    fn check(&self, kind: u8, content: &[u8], proof: &[u8]) -> Result<(), Refusal> {
        self.mac(kind, content).verify_slice(proof).map_err(|_| Refusal::Secret)
    }

    /// A message with this process's statement.
    fn say(&self, kind: u8) -> Vec<u8> {
        let Own { process, processes, statement, .. } = self.own;
        let said = Said { process: *process, processes: *processes, statement: statement.clone() };
        let text = serde_json::to_vec(&said).unwrap_or_default();
        let mut message = vec![kind];
        message.extend(self.prove(kind, &text));
        message.extend(text);
        message
    }

    /// Takes the other's statement: what in it must be the same is.
    fn said(&mut self, kind: u8, body: &[u8]) -> Result<(), Refusal> {
        let (proof, text) = body.split_at_checked(PROOF_BYTES).ok_or(Refusal::Nonsense)?;
        self.check(kind, text, proof)?;
        self.is_proved = true;
        let said: Said = serde_json::from_slice(text).map_err(|_| Refusal::Nonsense)?;
        let own = self.own;
        if said.processes != own.processes {
            let name = "processes in the hosts file".to_owned();
            let (own, other) = (own.processes.to_string(), said.processes.to_string());
            return Err(Refusal::Differs(Difference::Setting { name, own, other }));
        }
        if said.process != self.other {
            return Err(Refusal::Host { expected: self.other, found: said.process });
        }
        let called = self.hello.get(MAGIC.len() + 7..).and_then(|it| read_number(it.get(..4)?));
        let (caller, listener) = match kind {
            ANSWER => (said.process, own.process),
            _ => (own.process, said.process),
        };
        if called != Some(listener) || caller <= listener {
            let expected = called.unwrap_or(usize::MAX);
            return Err(Refusal::Host { expected, found: listener });
        }
        match own.statement.difference(&said.statement) {
            Some(difference) => Err(Refusal::Differs(difference)),
            None => Ok(()),
        }
    }
}

/// What the other side is told of a refusal before it has proved itself. Of what comes after, it
/// knows by itself.
fn refused(refusal: &Refusal) -> Option<Vec<u8>> {
    let reason = match refusal {
        Refusal::Protocol => 1,
        Refusal::Secret => 2,
        Refusal::SecretHere => 3,
        Refusal::SecretThere => 4,
        _ => return None,
    };
    Some(vec![REFUSED, reason])
}

/// Why the other side refuses.
fn was_refused(body: &[u8]) -> Refusal {
    match body {
        [1] => Refusal::Protocol,
        [2] => Refusal::Secret,
        [3] => Refusal::SecretThere,
        [4] => Refusal::SecretHere,
        _ => Refusal::Nonsense,
    }
}

fn number(process: usize) -> [u8; 4] {
    u32::try_from(process).unwrap_or(u32::MAX).to_be_bytes()
}

fn read_number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests;
