//! Handshakes that are well, and every way in which one can be wrong.

use super::*;
use crate::mesh::statement::Checkpoint;

const SECRET: &[u8] = b"a secret of some length";

fn own(process: usize, secret: Option<&[u8]>) -> Own {
    let settings = vec![("version of the program".to_owned(), "0.1.0".to_owned())];
    let definitions = [("vip".to_owned(), "1".to_owned())].into();
    let statement = Statement { settings, definitions, checkpoint: None };
    Own { process, processes: 3, key: Key::new(secret), statement }
}

/// What both sides come to, the caller first; `None` where one is left waiting.
fn meet(caller: &Own, to: usize, listener: &Own) -> [Option<Result<usize, Refusal>>; 2] {
    let (call, mut message) = Handshake::call(caller, to, [1; 32]);
    let mut sides = [call, Handshake::listen(listener, [2; 32])];
    let mut ends = [None, None];
    for turn in 0.. {
        let hears = (turn + 1) % 2;
        let side = &mut sides[hears];
        assert!(message.len() <= side.bytes_max());
        match side.hear(&message) {
            Step::Send(reply) => message = reply,
            Step::Met => {
                ends[hears] = Some(Ok(side.other().unwrap()));
                if hears == 0 {
                    break;
                }
                message = side.verdict(Verdict::Welcome);
            }
            Step::Fail(reply, refusal) => {
                ends[hears] = Some(Err(refusal));
                match reply {
                    Some(reply) if ends[1 - hears].is_none() => message = reply,
                    _ => break,
                }
            }
        }
    }
    ends
}

fn differs(name: &str, own: &str, other: &str) -> Option<Result<usize, Refusal>> {
    let [name, own, other] = [name, own, other].map(str::to_owned);
    Some(Err(Refusal::Differs(Difference::Setting { name, own, other })))
}

#[test]
fn two_that_run_the_same_meet() {
    for secret in [None, Some(SECRET)] {
        let met = meet(&own(2, secret), 0, &own(0, secret));
        assert_eq!(met, [Some(Ok(0)), Some(Ok(2))]);
    }
}

#[test]
fn another_secret_is_refused_before_anything_is_told() {
    let (one, other) = (own(1, Some(SECRET)), own(0, Some(b"another secret, as long")));
    assert_eq!(meet(&one, 0, &other), [Some(Err(Refusal::Secret)), Some(Err(Refusal::Secret))]);
    let none = own(0, None);
    let [called, heard] = meet(&one, 0, &none);
    assert_eq!([called, heard], [Some(Err(Refusal::SecretHere)), Some(Err(Refusal::SecretThere))]);
    let (none, one) = (own(1, None), own(0, Some(SECRET)));
    let [called, heard] = meet(&none, 0, &one);
    assert_eq!([called, heard], [Some(Err(Refusal::SecretThere)), Some(Err(Refusal::SecretHere))]);
}

#[test]
fn another_version_or_definition_is_told_to_both() {
    let (caller, mut listener) = (own(1, Some(SECRET)), own(0, Some(SECRET)));
    listener.statement.settings[0].1 = "0.2.0".to_owned();
    let name = "version of the program";
    let expected = [differs(name, "0.1.0", "0.2.0"), differs(name, "0.2.0", "0.1.0")];
    assert_eq!(meet(&caller, 0, &listener), expected);

    let mut listener = own(0, Some(SECRET));
    listener.statement.definitions.insert("vip".to_owned(), "2".to_owned());
    let changed = Some(Err(Refusal::Differs(Difference::Changed("vip".to_owned()))));
    assert_eq!(meet(&caller, 0, &listener), [changed.clone(), changed]);

    let mut listener = own(0, Some(SECRET));
    listener.statement.checkpoint = Some(Checkpoint { number: 7, digest: String::new() });
    let newer = Difference::Newer { own: None, other: 7 };
    let older = Difference::Older { own: 7, other: None };
    let expected = [newer, older].map(|it| Some(Err(Refusal::Differs(it))));
    assert_eq!(meet(&caller, 0, &listener), expected);
}

#[test]
fn hosts_files_must_agree() {
    let (caller, mut listener) = (own(2, None), own(0, None));
    listener.processes = 2;
    let name = "processes in the hosts file";
    assert_eq!(meet(&caller, 0, &listener), [differs(name, "3", "2"), differs(name, "2", "3")]);
    // It calls 0 where 1 is.
    let wrong = |expected, found| Some(Err(Refusal::Host { expected, found }));
    assert_eq!(meet(&caller, 0, &own(1, None)), [wrong(0, 1), wrong(0, 1)]);
    // Two have the same number; one has a number that is not to call.
    assert_eq!(meet(&own(1, None), 0, &own(1, None)), [wrong(0, 1), wrong(0, 1)]);
    assert!(matches!(meet(&own(1, None), 1, &own(1, None)), [Some(Err(_)), Some(Err(_))]));
    assert!(matches!(meet(&own(0, None), 1, &own(1, None)), [Some(Err(_)), Some(Err(_))]));
}

#[test]
fn a_place_that_is_taken_is_told() {
    let (caller, listener) = (own(1, Some(SECRET)), own(0, Some(SECRET)));
    let (mut call, hello) = Handshake::call(&caller, 0, [1; 32]);
    let mut heard = Handshake::listen(&listener, [2; 32]);
    let mut message = hello;
    loop {
        match heard.hear(&message) {
            Step::Send(reply) => match call.hear(&reply) {
                Step::Send(next) => message = next,
                step => panic!("{step:?}"),
            },
            step => break assert_eq!(step, Step::Met),
        }
    }
    let taken = heard.verdict(Verdict::Taken);
    let mut forged = heard.verdict(Verdict::Taken);
    forged[1] = Verdict::Welcome as u8;
    let (mut again, _) = Handshake::call(&caller, 0, [1; 32]);
    (again.stage, again.hello, again.challenge) =
        (call.stage, call.hello.clone(), call.challenge.clone());
    assert!(matches!(again.hear(&forged), Step::Fail(_, Refusal::Secret)));
    assert_eq!(call.hear(&taken), Step::Fail(None, Refusal::Taken));
}

/// All messages of a handshake that goes well.
fn recorded(caller: &Own, listener: &Own) -> Vec<Vec<u8>> {
    let (call, hello) = Handshake::call(caller, 0, [1; 32]);
    let mut sides = [call, Handshake::listen(listener, [2; 32])];
    let mut messages = vec![hello];
    loop {
        let hears = messages.len() % 2;
        match sides[hears].hear(messages.last().unwrap()) {
            Step::Send(message) => messages.push(message),
            Step::Met if hears == 1 => messages.push(sides[1].verdict(Verdict::Welcome)),
            step => break assert_eq!(step, Step::Met),
        }
    }
    assert_eq!(messages.len(), 6);
    messages
}

#[test]
fn what_was_overheard_is_worth_nothing() {
    let (caller, listener) = (own(1, Some(SECRET)), own(0, Some(SECRET)));
    let messages = recorded(&caller, &listener);
    // To a listener, which has another nonce each time.
    let mut heard = Handshake::listen(&listener, [3; 32]);
    assert!(matches!(heard.hear(&messages[0]), Step::Send(_)));
    assert!(matches!(heard.hear(&messages[2]), Step::Fail(Some(_), Refusal::Secret)));
    assert_eq!(heard.other(), None);
    // To a caller, with the old challenge even.
    let (mut call, _) = Handshake::call(&caller, 0, [4; 32]);
    assert!(matches!(call.hear(&messages[1]), Step::Send(_)));
    assert!(matches!(call.hear(&messages[3]), Step::Fail(_, Refusal::Secret)));
}

#[test]
fn what_comes_back_to_whoever_said_it_is_worth_nothing() {
    let (caller, listener) = (own(1, Some(SECRET)), own(0, Some(SECRET)));
    // Whoever has the caller's own words only: all of them are of another kind than is awaited.
    let (mut call, hello) = Handshake::call(&caller, 0, [1; 32]);
    assert!(matches!(call.hear(&hello), Step::Fail(_, Refusal::Nonsense)));
    // A challenge that is that of one's own listener: the proof for it is a caller's, not a
    // listener's.
    let (mut call, hello) = Handshake::call(&caller, 0, [1; 32]);
    let mut heard = Handshake::listen(&listener, [2; 32]);
    let Step::Send(challenge) = heard.hear(&hello) else { panic!() };
    let Step::Send(proof) = call.hear(&challenge) else { panic!() };
    let mut reflected = vec![WELCOME];
    reflected.extend_from_slice(&proof[1..]);
    assert!(matches!(call.hear(&reflected), Step::Fail(_, Refusal::Secret)));
}

#[test]
fn every_message_cut_off_or_changed_is_refused() {
    let (caller, listener) = (own(1, Some(SECRET)), own(0, Some(SECRET)));
    let messages = recorded(&caller, &listener);
    for (place, message) in messages.iter().enumerate() {
        let cut = (0..message.len()).map(|end| message[..end].to_vec());
        let flipped = (0..message.len()).map(|at| {
            let mut wrong = message.clone();
            wrong[at] ^= 1;
            wrong
        });
        let longer = [[&message[..], b"!"].concat()];
        for wrong in cut.chain(flipped).chain(longer) {
            let (call, _) = Handshake::call(&caller, 0, [1; 32]);
            let mut sides = [call, Handshake::listen(&listener, [2; 32])];
            for (number, before) in messages.iter().take(place).enumerate() {
                sides[(number + 1) % 2].hear(before);
            }
            let hears = (place + 1) % 2;
            // A Hello has nothing of its own that could be wrong but what it is said by; whoever
            // changes the rest is found out by the proof.
            match sides[hears].hear(&wrong) {
                Step::Fail(..) => {}
                Step::Send(reply) if place < 2 => {
                    let end = match place {
                        0 => sides[0].hear(&reply),
                        _ => sides[1].hear(&reply),
                    };
                    let end = match end {
                        Step::Send(proof) if place == 0 => sides[1].hear(&proof),
                        end => end,
                    };
                    assert!(matches!(end, Step::Fail(_, Refusal::Secret)), "{place}: {end:?}");
                }
                step => panic!("message {place}: {wrong:?}: {step:?}"),
            }
        }
    }
}

#[test]
fn strangers_may_not_say_much() {
    let listener = own(0, Some(SECRET));
    let heard = Handshake::listen(&listener, [2; 32]);
    assert_eq!(heard.bytes_max(), STRANGER_BYTES_MAX);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", &[0xff; 128], &[REFUSED, 2], &[VERDICT]] {
        let mut heard = Handshake::listen(&listener, [2; 32]);
        assert_eq!(heard.hear(garbage), Step::Fail(None, Refusal::Nonsense), "{garbage:?}");
        assert_eq!(heard.hear(garbage), Step::Fail(None, Refusal::Nonsense), "once more");
    }
}

#[test]
fn a_later_handshake_is_told_apart_from_nonsense() {
    let listener = own(0, None);
    let (_, mut hello) = Handshake::call(&own(1, None), 0, [1; 32]);
    hello[1 + MAGIC.len()] = PROTOCOL + 1;
    let step = Handshake::listen(&listener, [2; 32]).hear(&hello);
    assert_eq!(step, Step::Fail(Some(vec![REFUSED, 1]), Refusal::Protocol));
    let caller = own(1, None);
    let (mut call, _) = Handshake::call(&caller, 0, [1; 32]);
    assert_eq!(call.hear(&[REFUSED, 1]), Step::Fail(None, Refusal::Protocol));
}
