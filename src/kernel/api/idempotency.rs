//! Repeating a command safely.
//!
//! The record of a key is written in the transaction of the effect, so that there is never one without the other:
//!
//! | first try ended as | a repeat gets |
//! |---|---|
//! | success | the stored status and body, `Idempotent-Replayed: true` |
//! | 410 or 422 from a contract's rules | the same refusal, even if the reason has gone away |
//! | anything else | a fresh try: nothing had happened |
//! | still running (remote commands) | a wait of up to 10 s, then 409 `idempotency_in_progress` |
//! | cut off by a crash in mid-call | the object as it is now; the call is never made again by itself |
//! | cut off between two pieces | what is left of it is done, and then the whole answer: see [`super::pieces`] |
//!
//! Records live in a table in time order and are found through a narrow index of 16-byte hashes: the bulk of what is
//! written goes to the right edge of one tree.

use std::{any::Any, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    audit,
    body::Body,
    endpoint::{Claimed, Endpoint, RawCall, Remote},
    pieces,
    problem::{ApiRefusal, Problem},
};
use crate::kernel::{
    boot::Kernel,
    clock::Time,
    error::{Error, Result, fault},
    events::worker::Job,
    id::bytes_of,
    secret::{Secrets, sha256},
    store::{
        Index, Key as _, ReadTx, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

/// (created, hash of the scope and key) → what was answered.
pub const RECORDS: Table<(Time, [u8; 16]), Record> = Table::new("kernel.idempotency")
    .with_indexes(&[Index::lookup("kernel.idempotency_by_key", |key, _| vec![key.1.to_vec()])]);

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Record {
    /// Of the input, compared by meaning.
    pub fingerprint: [u8; 16],
    pub outcome: Outcome,
}
row!(Record);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Outcome {
    /// A remote command is between its two transactions, in this incarnation of the server.
    Running {
        epoch: u64,
    },
    Answered {
        status: u16,
        body: Vec<u8>,
    },
    /// A command in pieces: so many of its items are done. The answers of its pieces are rows of their own.
    Pieces {
        done: u64,
        of: u64,
    },
}

/// An answer on its way out.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Body,
    pub replayed: bool,
}

/// Who repeats what: the hash a record is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scoped(pub(super) [u8; 16]);

impl Scoped {
    pub fn new(raw: &RawCall, endpoint: &Endpoint, key: &str) -> Scoped {
        let principal = &raw.caller.principal;
        let client = principal.client.map(|it| it.to_string()).unwrap_or_default();
        let path = raw.path.join("/");
        let text =
            [&client, &principal.actor.to_string(), endpoint.method.as_str(), endpoint.path, &path, key]
                .join("\n");
        let [first, _] = halves(sha256(text.as_bytes()));
        Scoped(first)
    }
}

/// A hash of an input that does not depend on the order of fields or on spaces. Keyed, because it is stored and an
/// input may hold a password: nobody who has only the database can try passwords against it.
pub fn fingerprint(secrets: &Secrets, body: &Value) -> [u8; 16] {
    let [first, _] = halves(secrets.hash(&body.to_string())); // serde_json keeps object keys sorted.
    first
}

fn halves(hash: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    halves[0].copy_from_slice(&hash[..16]);
    halves[1].copy_from_slice(&hash[16..]);
    halves
}

/// Runs a command in one transaction: with its idempotency record and its audit row.
pub fn run(
    tx: &mut WriteTx,
    endpoint: &Endpoint,
    raw: &RawCall,
    scoped: Option<Scoped>,
    dry_run: bool,
    handle: impl FnOnce(&mut WriteTx) -> Result<Body>,
) -> Result<Answer> {
    if dry_run {
        return rehearse(tx, endpoint, handle);
    }
    if let Some(scoped) = scoped
        && let Some(answer) = answered(tx, scoped, raw)?
    {
        return Ok(answer);
    }
    let outcome = tx.attempt(|tx| {
        let body = handle(tx)?;
        if !endpoint.plain {
            audit::record(tx, &raw.caller, endpoint, &raw.path, &body)?;
        }
        Ok(body)
    });
    let answer = to_answer(endpoint, raw, outcome)?;
    if let Some(scoped) = scoped {
        let key = (tx.now(), scoped.0);
        store(tx, key, raw, endpoint, &answer)?;
    }
    Ok(answer)
}

/// What the first try with this key was answered; `None` when there was none.
pub fn answered(tx: &ReadTx, scoped: Scoped, raw: &RawCall) -> Result<Option<Answer>> {
    match find(tx, scoped, raw)?.map(|(_, record)| record.outcome) {
        None => Ok(None),
        Some(Outcome::Answered { status, body }) => Ok(Some(replay(status, body))),
        Some(Outcome::Running { .. } | Outcome::Pieces { .. }) => {
            Err(ApiRefusal::IdempotencyInProgress.into())
        }
    }
}

/// All checks, the would-be object without the ids of what was not made, and nothing written.
fn rehearse(
    tx: &mut WriteTx,
    endpoint: &Endpoint,
    handle: impl FnOnce(&mut WriteTx) -> Result<Body>,
) -> Result<Answer> {
    let mut body = None;
    tx.note_ids(true);
    let outcome: Result<()> = tx.attempt(|tx| {
        body = Some(handle(tx)?);
        Err(fault!("a rehearsal is never kept"))
    });
    let shown = body.map(|body| {
        body.changed(|body| {
            forget_made(tx, body);
            if let Some(object) = body.as_object_mut() {
                object.insert("id".into(), Value::Null);
                for field in endpoint.hands_out {
                    object.insert((*field).to_owned(), Value::Null);
                }
            }
        })
    });
    tx.note_ids(false);
    match (shown, outcome) {
        (Some(body), _) => Ok(Answer { status: 200, body: body?, replayed: false }),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(fault!("a rehearsal ended without an answer")),
    }
}

/// The checks and the claim of a remote command, and the object as the call would find it. Nobody is called, and of what
/// the other side would say nothing is known.
pub fn rehearse_remote(
    tx: &mut WriteTx,
    endpoint: &Endpoint,
    remote: &Remote,
    raw: RawCall,
) -> Result<Answer> {
    rehearse(tx, endpoint, |tx| match (remote.claim)(tx, raw.clone())? {
        Claimed::Done(body) => Ok(body),
        Claimed::Call(_) => (remote.present)(tx, raw),
    })
}

/// Takes the ids out that name nothing, because what they named was dropped: a payment, an entry, a record.
fn forget_made(tx: &WriteTx, body: &mut Value) {
    // A link is one to nothing when one of its parts is such an id.
    let is_id = |it: &str| bytes_of(it).is_some_and(|bytes| tx.has_made(&bytes));
    let is_made = |it: &Value| it.as_str().is_some_and(|it| it.split('/').any(is_id));
    match body {
        Value::Object(members) => members.values_mut().for_each(|it| forget_made(tx, it)),
        Value::Array(items) => {
            items.retain(|it| !is_made(it));
            items.iter_mut().for_each(|it| forget_made(tx, it));
        }
        it if is_made(it) => *it = Value::Null,
        _ => {}
    }
}

/// Success, or a refusal that is kept; any other error goes on as it is and leaves no trace.
fn to_answer(endpoint: &Endpoint, raw: &RawCall, outcome: Result<Body>) -> Result<Answer> {
    match outcome {
        Ok(body) => Ok(Answer { status: endpoint.status, body, replayed: false }),
        Err(error) if is_kept(&error) => {
            let problem = Problem::of(&error, &raw.caller.request_id);
            Ok(Answer { status: problem.status, body: Body::of(&problem.document)?, replayed: false })
        }
        Err(error) => Err(error),
    }
}

/// 410 and 422 from a contract's rules: the same key gets the same refusal.
fn is_kept(error: &Error) -> bool {
    use crate::kernel::error::Kind;
    matches!(error, Error::Refused(it) if it.of_contract() && matches!(it.kind(), Kind::Gone | Kind::Unprocessable))
}

pub(super) fn find(tx: &ReadTx, scoped: Scoped, raw: &RawCall) -> Result<Option<((Time, [u8; 16]), Record)>> {
    let found = tx.find(&RECORDS, "kernel.idempotency_by_key", &scoped.0)?;
    match &found {
        Some((_, record)) if record.fingerprint != raw.caller.fingerprint => {
            Err(ApiRefusal::IdempotencyKeyReused.into())
        }
        _ => Ok(found),
    }
}

fn store(
    tx: &mut WriteTx,
    key: (Time, [u8; 16]),
    raw: &RawCall,
    endpoint: &Endpoint,
    answer: &Answer,
) -> Result<()> {
    // An answer may have megabytes, and few show a secret: only those are read once more.
    let body = if endpoint.shown_once.is_empty() {
        answer.body.bytes().to_vec()
    } else {
        let hide = |body: &mut Value| {
            let Some(object) = body.as_object_mut() else { return };
            for field in endpoint.shown_once {
                if let Some(shown) = object.get_mut(*field) {
                    *shown = Value::Null;
                    object.insert("secret_shown".into(), true.into());
                }
            }
        };
        answer.body.changed(hide)?.into_bytes()
    };
    let outcome = Outcome::Answered { status: answer.status, body };
    tx.put(&RECORDS, &key, &Record { fingerprint: raw.caller.fingerprint, outcome })
}

pub(super) fn replay(status: u16, body: Vec<u8>) -> Answer {
    Answer { status, body: Body::stored(body), replayed: true }
}

/// What the claim transaction of a remote command found.
enum Start {
    Answered(Answer),
    Busy,
    Call(Box<dyn Any + Send>),
}

/// How long a repeat waits for the first try.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Runs a remote command: claim · call · settle.
pub async fn run_remote(
    kernel: Arc<Kernel>,
    endpoint: Arc<Endpoint>,
    remote: Arc<Remote>,
    raw: RawCall,
    scoped: Option<Scoped>,
) -> Result<Answer> {
    let home = kernel.home_of(&endpoint).clone();
    let mut waited = Duration::ZERO;
    let needed = loop {
        let (remote, endpoint, raw, epoch) = (remote.clone(), endpoint.clone(), raw.clone(), kernel.epoch);
        match home.write(move |tx| start(tx, &remote, &endpoint, raw, scoped, epoch)).await? {
            Start::Answered(answer) => return Ok(answer),
            Start::Call(needed) => break needed,
            Start::Busy if waited >= PATIENCE => return Err(ApiRefusal::IdempotencyInProgress.into()),
            Start::Busy => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
        }
    };
    let abandoning = home.clone();
    // A task of its own: a caller that hangs up does not leave the command half done.
    let running = tokio::spawn(async move {
        let brought = (remote.call)(needed).await;
        let (settling, settled_raw) = (endpoint.clone(), raw.clone());
        let settled = home
            .write(move |tx| {
                let body = tx.attempt(|tx| {
                    let body = (remote.settle)(tx, settled_raw.clone(), brought)?;
                    audit::record(tx, &settled_raw.caller, &settling, &settled_raw.path, &body)?;
                    Ok(body)
                });
                let answer = to_answer(&settling, &settled_raw, body)?;
                finish(tx, scoped, &settled_raw, &settling, &answer)?;
                Ok(answer)
            })
            .await;
        if settled.is_err() {
            // The call was made and could not be noted: a repeat answers with the object as it is.
            let abandoned = home.write(move |tx| abandon(tx, scoped)).await;
            if let Err(error) = abandoned {
                tracing::error!(
                    request.id = raw.caller.request_id,
                    "An unfinished command stays marked: {error}"
                );
            }
        }
        settled
    });
    match running.await {
        Ok(settled) => settled,
        Err(ended) => {
            // A panic in an adapter: nobody knows what the other side did, so a repeat shows the object as it is.
            abandoning.write(move |tx| abandon(tx, scoped)).await?;
            Err(fault!("a remote command ended early: {ended}"))
        }
    }
}

fn start(
    tx: &mut WriteTx,
    remote: &Remote,
    endpoint: &Endpoint,
    raw: RawCall,
    scoped: Option<Scoped>,
    epoch: u64,
) -> Result<Start> {
    if let Some(scoped) = scoped
        && let Some((key, record)) = find(tx, scoped, &raw)?
    {
        return match record.outcome {
            Outcome::Answered { status, body } => Ok(Start::Answered(replay(status, body))),
            Outcome::Pieces { .. } => Err(fault!("a remote command is not cut into pieces")),
            Outcome::Running { epoch: running } if running == epoch => Ok(Start::Busy),
            Outcome::Running { .. } => {
                let body = (remote.present)(tx, raw.clone())?;
                let answer = Answer { status: endpoint.status, body, replayed: true };
                store(tx, key, &raw, endpoint, &answer)?;
                Ok(Start::Answered(answer))
            }
        };
    }
    let claimed = tx.attempt(|tx| (remote.claim)(tx, raw.clone()));
    let answer = match claimed {
        Ok(Claimed::Call(needed)) => {
            if let Some(scoped) = scoped {
                let record =
                    Record { fingerprint: raw.caller.fingerprint, outcome: Outcome::Running { epoch } };
                let key = (tx.now(), scoped.0);
                tx.put(&RECORDS, &key, &record)?;
            }
            return Ok(Start::Call(needed));
        }
        Ok(Claimed::Done(body)) => {
            audit::record(tx, &raw.caller, endpoint, &raw.path, &body)?;
            to_answer(endpoint, &raw, Ok(body))?
        }
        Err(error) => to_answer(endpoint, &raw, Err(error))?,
    };
    if let Some(scoped) = scoped {
        let key = (tx.now(), scoped.0);
        store(tx, key, &raw, endpoint, &answer)?;
    }
    Ok(Start::Answered(answer))
}

fn finish(
    tx: &mut WriteTx,
    scoped: Option<Scoped>,
    raw: &RawCall,
    endpoint: &Endpoint,
    answer: &Answer,
) -> Result<()> {
    if let Some(scoped) = scoped
        && let Some((key, _)) = find(tx, scoped, raw)?
    {
        store(tx, key, raw, endpoint, answer)?;
    }
    Ok(())
}

/// Marks a running record as one of a former incarnation.
fn abandon(tx: &mut WriteTx, scoped: Option<Scoped>) -> Result<()> {
    if let Some(scoped) = scoped
        && let Some((key, mut record)) = tx.find(&RECORDS, "kernel.idempotency_by_key", &scoped.0)?
    {
        record.outcome = Outcome::Running { epoch: 0 };
        tx.put(&RECORDS, &key, &record)?;
    }
    Ok(())
}

/// Forgets records older than `keep`: the natural keys (`external_id`, gateway reference) still forbid doubles.
pub fn sweeper(keep: Duration) -> Job {
    Job {
        name: "kernel.idempotency_sweep",
        due: Arc::new(move |tx| {
            let oldest = tx.scan(&RECORDS, Scan::all()).next().transpose()?;
            Ok(oldest.map(|((created, _), _)| created.after(keep)))
        }),
        run: Arc::new(move |tx| {
            let end = Time::from_micros(tx.now().before(keep).micros() + 1).to_key();
            let old: Vec<_> = tx.scan(&RECORDS, Scan::all().until(end)).take(1000).collect::<Result<_>>()?;
            for (key, record) in old {
                if matches!(record.outcome, Outcome::Pieces { .. }) {
                    pieces::forget(tx, key.1)?;
                }
                tx.delete(&RECORDS, &key)?;
            }
            Ok(())
        }),
    }
}

/// As members of an OpenAPI operation.
pub fn documented(endpoint: &Endpoint) -> Value {
    let required = endpoint.money;
    json!({
        "name": "Idempotency-Key", "in": "header", "required": required,
        "description": "1 to 255 printable ASCII characters. The same key and body get the same answer, once.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let outcome = Outcome::Answered { status: 201, body: b"{}".to_vec() };
        golden("kernel.idempotency", &Record { fingerprint: [7; 16], outcome });
    }

    #[test]
    fn bodies_are_compared_by_meaning() {
        let secrets = Secrets::new(&[7; 32]);
        let parse = |text: &str| fingerprint(&secrets, &serde_json::from_str(text).unwrap_or_default());
        assert_eq!(parse(r#"{"a":1,"b":[2]}"#), parse(r#" { "b" : [ 2 ], "a" : 1 } "#));
        assert_ne!(parse(r#"{"a":1}"#), parse(r#"{"a":2}"#));
    }
}
