//! What a module says of one operation: path, permission, input, output, and the function that does it.
//!
//! ```ignore
//! post("/withdrawals/{id}/approve")
//!     .about("Vote for a withdrawal")
//!     .needs("withdrawals.approve")
//!     .refuses(&["self_approval", "invalid_state_transition"])
//!     .example(json!({"revision": 1}))
//!     .writes(move |tx, call: &Call<WithdrawalId, ApproveIn>| service.approve(tx, call))
//! ```
//!
//! The permission checked, the permission documented and the permission in the catalogue are this one value; the
//! schema documented is that of the type read. A handler runs inside one transaction and never sees HTTP.

use std::{any::Any, future::Future, ops::Range, pin::Pin, sync::Arc};

use axum::body::Bytes;
use futures_util::Stream;
use hyper::{HeaderMap, Method};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{
    body::Body,
    call::{Call, Caller, FromPath},
    input::{Input, read_body, read_query},
    object::NamedShape,
    page::Page,
    principal::{OPERATOR, PUBLIC},
    print::Printed,
    problem::ApiRefusal,
    shape::{Described, Shape},
};
use crate::kernel::{
    boot::Kernel,
    error::Result,
    store::{ReadTx, WriteTx},
};

/// One operation of the API.
#[derive(Clone)]
pub struct Endpoint {
    pub module: &'static str,
    /// Its transactions are in `default`, wherever the module lives.
    pub beside_outbox: bool,
    pub method: Method,
    /// With `{names}`; without the `/api/v1` prefix.
    pub path: &'static str,
    pub summary: &'static str,
    pub access: Access,
    /// Permissions that some inputs need beyond `access`: the use case asks with `caller.check_may`.
    pub further: &'static [&'static str],
    /// The status of success.
    pub status: u16,
    /// Creates or moves money: `Idempotency-Key` required, `dry_run` allowed.
    pub money: bool,
    /// Decides about money without moving any: `dry_run` allowed, a key not required.
    pub rehearsed: bool,
    /// Fields of the answer that only the command itself gives away: a rehearsal shows none of them.
    pub hands_out: &'static [&'static str],
    /// Configuration: needs `If-Match`.
    pub versioned: bool,
    /// Reads no `Idempotency-Key`, and answers the same to everyone in the same time.
    pub plain: bool,
    /// Why sending it twice does no more than once, without a key. Such an endpoint reads no `Idempotency-Key`.
    pub repeat: Option<&'static str>,
    pub list: bool,
    /// `Accept: text/csv` streams the rows in `data`, page after page.
    pub csv: bool,
    /// What `Accept: text/html` is answered with: a page to be printed.
    pub printing: Option<Arc<Printing>>,
    /// Fields of the answer that are shown once and stored nowhere.
    pub shown_once: &'static [&'static str],
    /// What a stream is, as a media type.
    pub streams_as: &'static str,
    pub refusals: &'static [&'static str],
    pub max_body_bytes: Option<usize>,
    /// For so many seconds whoever asked may go on with the answer: prices. Everything else is never kept.
    pub cached_s: Option<u32>,
    pub example: Option<Value>,
    pub input: Described,
    pub query_names: &'static [&'static str],
    pub query_shapes: Vec<NamedShape>,
    pub output: Described,
    pub handler: Handler,
}

impl Endpoint {
    /// Whether an `Idempotency-Key` is read: what runs in no transaction of its own has nowhere to keep the answer.
    pub fn reads_key(&self) -> bool {
        self.method == Method::POST && !self.plain && !matches!(self.handler, Handler::Async(_))
    }

    /// Whether `dry_run` is read. Of a command that calls out, its checks and its claim are rehearsed; nobody is called.
    pub fn rehearses(&self) -> bool {
        let can = matches!(self.handler, Handler::Write(_) | Handler::Pieces(_) | Handler::Remote(_));
        can && (self.money || self.rehearsed)
    }

    /// The columns of the list as CSV, as documented: the fields of what stands in it.
    pub fn columns(&self) -> Option<Vec<String>> {
        let output = (self.output)();
        if self.list { output.fields() } else { output.fields_of_items("data") }
    }
}

/// Who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No credential at all.
    Open,
    /// Any credential that belongs to a client.
    Public,
    /// Any credential that is not a publishable key: one asks about oneself.
    SignedIn,
    Operator,
    /// This permission.
    Needs(&'static str),
    /// This permission for what is one's own, or this permission with `_any` for everything of the client.
    Own(&'static str),
}

impl Access {
    /// As documented in `x-permission`.
    pub fn permission(&self) -> &'static str {
        match self {
            Access::Open => "none",
            Access::Public => PUBLIC,
            Access::SignedIn => "signed_in",
            Access::Operator => OPERATOR,
            Access::Needs(permission) | Access::Own(permission) => permission,
        }
    }

    /// The permissions this adds to the catalogue.
    pub fn names(&self) -> Vec<String> {
        match self {
            Access::Open | Access::Public | Access::SignedIn | Access::Operator => vec![],
            Access::Needs(permission) => vec![(*permission).to_owned()],
            Access::Own(permission) => vec![(*permission).to_owned(), format!("{permission}_any")],
        }
    }
}

/// A request before its input was read: what every kind of handler is given.
#[derive(Clone)]
pub struct RawCall {
    pub caller: Caller,
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Value,
}

/// A request as it came, before anything of it was read: what a signature is over.
#[derive(Clone)]
pub struct RawBytes<P = Vec<String>> {
    pub caller: Caller,
    pub path: P,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub type Answered = Pin<Box<dyn Future<Output = Result<Body>> + Send>>;
pub type Reading = dyn Fn(&ReadTx, RawCall) -> Result<Value> + Send + Sync;
pub type Printing = dyn Fn(&ReadTx, RawCall) -> Result<Printed> + Send + Sync;
/// Reads the input where it is called; what it returns then runs on the writer's thread, where everybody waits.
type Writing = dyn Fn(RawCall) -> Prepared + Send + Sync;
type Asynchronous = dyn Fn(Arc<Kernel>, RawCall) -> Answered + Send + Sync;

/// The write that a preparation led to, with what was prepared inside.
pub type Prepared = Box<dyn FnOnce(&mut WriteTx) -> Result<Body> + Send>;
pub type Hearing = dyn Fn(&ReadTx, RawBytes) -> Result<Prepared> + Send + Sync;
type Preparing =
    dyn Fn(Arc<Kernel>, RawCall) -> Pin<Box<dyn Future<Output = Result<Prepared>> + Send>> + Send + Sync;

#[derive(Clone)]
pub enum Handler {
    /// In one snapshot.
    Read(Arc<Reading>),
    /// In one write transaction, together with its idempotency record and its audit row.
    Write(Arc<Writing>),
    /// Something slow with no transaction open, such as hashing a password; then as `Write`.
    Prepared(Arc<Preparing>),
    /// Opens its own transactions.
    Async(Arc<Asynchronous>),
    /// A call to the outside between two transactions: see [`Remote`].
    Remote(Arc<Remote>),
    /// Many alike in one command, in several write transactions: see [`Pieces`].
    Pieces(Arc<Cutting>),
    /// The bytes as they came, judged in a snapshot, then as `Write`; without an idempotency record or an audit row.
    Hear(Arc<Hearing>),
    /// Server-sent events, until the reader goes or the server stops.
    Stream(Arc<Streaming>),
}

/// What a stream answers, piece by piece.
pub type Streamed = Pin<Box<dyn Stream<Item = Bytes> + Send>>;
pub type Streaming = dyn Fn(Arc<Kernel>, RawCall, watch::Receiver<bool>) -> Result<Streamed> + Send + Sync;

/// A command with a remote call in the middle: claim · call · settle. The claim and the settlement are transactions
/// of their own; nothing is open during the call. What happens to a repeat meanwhile, and after a crash, is in
/// `idempotency.rs`.
pub struct Remote {
    pub claim: Box<dyn Fn(&mut WriteTx, RawCall) -> Result<Claimed> + Send + Sync>,
    #[allow(clippy::type_complexity, reason = "said once, here")]
    pub call: Box<
        dyn Fn(Box<dyn Any + Send>) -> Pin<Box<dyn Future<Output = Box<dyn Any + Send>> + Send>>
            + Send
            + Sync,
    >,
    pub settle: Box<dyn Fn(&mut WriteTx, RawCall, Box<dyn Any + Send>) -> Result<Body> + Send + Sync>,
    /// The object as it is now: the answer to a repeat when the first try was cut off by a crash.
    pub present: Box<dyn Fn(&ReadTx, RawCall) -> Result<Body> + Send + Sync>,
}

/// A command about many things that stand each for itself, cut so that it never holds the writer for long. Each piece
/// is a transaction of its own, with a note of how far the command is. What happens to a repeat meanwhile, and after a
/// crash, is in `pieces.rs`.
pub struct Pieces {
    /// How many items there are,
    pub items: usize,
    /// and how many a piece has. All of them: it is one piece, and a command like any other.
    pub size: usize,
    /// Does these items, and answers for them. It refuses them one by one, in that answer.
    #[allow(clippy::type_complexity, reason = "said once, here")]
    pub run: Box<dyn Fn(&mut WriteTx, Range<usize>) -> Result<Body> + Send + Sync>,
    /// Puts the answers of the pieces together.
    pub join: fn(Vec<Value>) -> Value,
}

type Cutting = dyn Fn(RawCall) -> Result<Pieces> + Send + Sync;

/// What a claim transaction decided, erased.
pub enum Claimed {
    /// Nothing to call: this is the answer.
    Done(Body),
    Call(Box<dyn Any + Send>),
}

/// What a claim transaction decides.
pub enum Claim<C, O> {
    Done(O),
    Call(C),
}

pub fn get(path: &'static str) -> Builder {
    Builder::new(Method::GET, path)
}
pub fn post(path: &'static str) -> Builder {
    Builder::new(Method::POST, path)
}
pub fn put(path: &'static str) -> Builder {
    Builder::new(Method::PUT, path)
}
pub fn patch(path: &'static str) -> Builder {
    Builder::new(Method::PATCH, path)
}
pub fn delete(path: &'static str) -> Builder {
    Builder::new(Method::DELETE, path)
}

/// An [`Endpoint`] in the making; finished by [`Builder::reads`], [`Builder::lists`], [`Builder::writes`],
/// [`Builder::prepares`], [`Builder::runs`] or [`Builder::calls_out`].
pub struct Builder(Endpoint);

impl Builder {
    fn new(method: Method, path: &'static str) -> Builder {
        // A POST on a collection makes something; on a verb it changes something.
        let creates = method == Method::POST && !path.contains('}');
        Builder(Endpoint {
            beside_outbox: false,
            module: "kernel",
            method,
            path,
            summary: "",
            access: Access::Operator,
            further: &[],
            status: if creates { 201 } else { 200 },
            money: false,
            rehearsed: false,
            hands_out: &[],
            versioned: false,
            plain: false,
            repeat: None,
            list: false,
            csv: false,
            printing: None,
            shown_once: &[],
            streams_as: "text/event-stream",
            refusals: &[],
            max_body_bytes: None,
            cached_s: None,
            example: None,
            input: Shape::default,
            query_names: &[],
            query_shapes: vec![],
            output: Shape::default,
            handler: Handler::Read(Arc::new(|_, _| Ok(Value::Null))),
        })
    }

    /// One line: what it does.
    pub fn about(mut self, summary: &'static str) -> Builder {
        self.0.summary = summary;
        self
    }

    /// No credential.
    pub fn open(mut self) -> Builder {
        self.0.access = Access::Open;
        self
    }

    /// Any credential of a client, a publishable key too.
    pub fn public(mut self) -> Builder {
        self.0.access = Access::Public;
        self
    }

    /// Anyone but a publishable key, about themselves.
    pub fn signed_in(mut self) -> Builder {
        self.0.access = Access::SignedIn;
        self
    }

    pub fn operator(mut self) -> Builder {
        self.0.access = Access::Operator;
        self
    }

    /// Whoever holds exactly `permission`.
    pub fn needs(mut self, permission: &'static str) -> Builder {
        self.0.access = Access::Needs(permission);
        self
    }

    /// Whoever holds `permission` (for what is their own) or `permission_any` (for everything of the client).
    pub fn own(mut self, permission: &'static str) -> Builder {
        self.0.access = Access::Own(permission);
        self
    }

    /// Permissions that some inputs need beyond the one that lets the caller in.
    pub fn further(mut self, permissions: &'static [&'static str]) -> Builder {
        self.0.further = permissions;
        self
    }

    /// Creates or moves money.
    pub fn money(mut self) -> Builder {
        self.0.money = true;
        self
    }

    /// Decides what becomes of money, and moves none: takes `dry_run` as what moves it does.
    pub fn rehearsed(mut self) -> Builder {
        self.0.rehearsed = true;
        self
    }

    /// Fields that a rehearsal does not show: an address is promised to somebody once it is shown.
    pub fn hands_out(mut self, fields: &'static [&'static str]) -> Builder {
        self.0.hands_out = fields;
        self
    }

    /// Changes configuration: `If-Match` is read, and checked by `caller.check_version`.
    pub fn versioned(mut self) -> Builder {
        self.0.versioned = true;
        self
    }

    /// Ignores `Idempotency-Key`, and leaves no audit row: signing in.
    pub fn plain(mut self) -> Builder {
        self.0.plain = true;
        self
    }

    /// Ignores `Idempotency-Key`: a repeat does no more, and this says why.
    pub fn repeats(mut self, why: &'static str) -> Builder {
        self.0.repeat = Some(why);
        self
    }

    pub fn status(mut self, status: u16) -> Builder {
        self.0.status = status;
        self
    }

    /// Fields of the answer that are shown once.
    pub fn shows_once(mut self, fields: &'static [&'static str]) -> Builder {
        self.0.shown_once = fields;
        self
    }

    /// The codes a module refuses with here; what the kernel refuses is added.
    pub fn refuses(mut self, codes: &'static [&'static str]) -> Builder {
        self.0.refusals = codes;
        self
    }

    /// The answer of [`Builder::reads`] or [`Builder::runs`] has `data` and `next_cursor` as a list has, and comes as
    /// CSV too.
    pub fn with_csv(mut self) -> Builder {
        self.0.csv = true;
        self
    }

    /// `Accept: text/html` is answered with a page to be printed.
    pub fn prints<P: FromPath, I: Input>(
        mut self,
        print: impl Fn(&ReadTx, &Call<P, I>) -> Result<Printed> + Send + Sync + 'static,
    ) -> Builder {
        self.0.printing = Some(Arc::new(move |tx, raw| print(tx, &queried(raw)?)));
        self
    }

    /// The answer of a GET may be kept for so long, by credential: it is nobody's secret.
    pub fn cached(mut self, seconds: u32) -> Builder {
        self.0.cached_s = Some(seconds);
        self
    }

    /// A stream of JSON, an object a line, that comes to an end.
    pub fn ndjson(mut self) -> Builder {
        self.0.streams_as = "application/x-ndjson";
        self
    }

    pub fn max_body_bytes(mut self, bytes: usize) -> Builder {
        self.0.max_body_bytes = Some(bytes);
        self
    }

    /// A body that works; tests send it.
    pub fn example(mut self, body: Value) -> Builder {
        self.0.example = Some(body);
        self
    }

    /// A GET of one thing.
    pub fn reads<P: FromPath, I: Input, O: Serialize + ToSchema>(
        mut self,
        handle: impl Fn(&ReadTx, &Call<P, I>) -> Result<O> + Send + Sync + 'static,
    ) -> Endpoint {
        self.0.output = Shape::of::<O>;
        (self.0.query_names, self.0.query_shapes) = (I::NAMES, I::shapes());
        self.0.handler = Handler::Read(Arc::new(move |tx, raw| found(handle(tx, &queried(raw)?)?)));
        self.0
    }

    /// A GET of a page of things.
    pub fn lists<P: FromPath, I: Input, O: Serialize + ToSchema>(
        mut self,
        handle: impl Fn(&ReadTx, &Call<P, I>) -> Result<Page<O>> + Send + Sync + 'static,
    ) -> Endpoint {
        (self.0.list, self.0.csv) = (true, true);
        self.0.output = Shape::of::<O>;
        (self.0.query_names, self.0.query_shapes) = (I::NAMES, I::shapes());
        self.0.handler = Handler::Read(Arc::new(move |tx, raw| found(handle(tx, &queried(raw)?)?)));
        self.0
    }

    /// A command: one write transaction.
    pub fn writes<P, I, O>(
        mut self,
        handle: impl Fn(&mut WriteTx, &Call<P, I>) -> Result<O> + Send + Sync + 'static,
    ) -> Endpoint
    where
        P: FromPath + Send + 'static,
        I: Input + ToSchema + Send + 'static,
        O: Serialize + ToSchema,
    {
        self.shapes::<I, O>();
        let handle = Arc::new(handle);
        self.0.handler = Handler::Write(Arc::new(move |raw| {
            let (call, handle) = (sent(raw), handle.clone());
            Box::new(move |tx: &mut WriteTx| answer(handle(tx, &call?)?))
        }));
        self.0
    }

    /// A command about many things at once. `cut` says how many items there are and how many a piece has; `write` does
    /// some of them; `join` puts the answers together. See [`Pieces`].
    pub fn writes_in_pieces<P, I, O>(
        mut self,
        cut: impl Fn(&Call<P, I>) -> Result<(usize, usize)> + Send + Sync + 'static,
        write: impl Fn(&mut WriteTx, &Call<P, I>, Range<usize>) -> Result<O> + Send + Sync + 'static,
        join: fn(Vec<Value>) -> Value,
    ) -> Endpoint
    where
        P: FromPath + Send + Sync + 'static,
        I: Input + ToSchema + Send + Sync + 'static,
        O: Serialize + ToSchema,
    {
        self.shapes::<I, O>();
        let write = Arc::new(write);
        self.0.handler = Handler::Pieces(Arc::new(move |raw| {
            let call: Call<P, I> = sent(raw)?;
            let ((items, size), write) = (cut(&call)?, write.clone());
            let run = Box::new(move |tx: &mut WriteTx, items| answer(write(tx, &call, items)?));
            Ok(Pieces { items, size, run, join })
        }));
        self.0
    }

    /// The same by a method of a service.
    pub fn writes_with<S, P, I, O>(
        self,
        service: &Arc<S>,
        command: fn(&S, &mut WriteTx, &Call<P, I>) -> Result<O>,
    ) -> Endpoint
    where
        S: Send + Sync + 'static,
        P: FromPath + Send + Sync + 'static,
        I: Input + ToSchema + Send + Sync + 'static,
        O: Serialize + ToSchema + 'static,
    {
        let service = service.clone();
        self.writes(move |tx, call| command(&service, tx, call))
    }

    /// [`Builder::reads`] by a method of a service.
    pub fn reads_with<S, P, I, O>(
        self,
        service: &Arc<S>,
        query: fn(&S, &ReadTx, &Call<P, I>) -> Result<O>,
    ) -> Endpoint
    where
        S: Send + Sync + 'static,
        P: FromPath + 'static,
        I: Input + 'static,
        O: Serialize + ToSchema + 'static,
    {
        let service = service.clone();
        self.reads(move |tx, call| query(&service, tx, call))
    }

    /// [`Builder::lists`] by a method of a service.
    pub fn lists_with<S, P, I, O>(
        self,
        service: &Arc<S>,
        query: fn(&S, &ReadTx, &Call<P, I>) -> Result<Page<O>>,
    ) -> Endpoint
    where
        S: Send + Sync + 'static,
        P: FromPath + 'static,
        I: Input + 'static,
        O: Serialize + ToSchema + 'static,
    {
        let service = service.clone();
        self.lists(move |tx, call| query(&service, tx, call))
    }

    /// A command that needs something slow first: `prepare` runs with no transaction open, then `write` as any
    /// command does, with its idempotency record and its audit row. What is stored may change between the two: what
    /// `prepare` looked up, `write` looks up again. A repeat that was answered before prepares nothing.
    pub fn prepares<P, I, O, R, F>(
        mut self,
        prepare: impl Fn(Arc<Kernel>, Arc<Call<P, I>>) -> F + Send + Sync + 'static,
        write: impl Fn(&mut WriteTx, &Call<P, I>, R) -> Result<O> + Send + Sync + 'static,
    ) -> Endpoint
    where
        P: FromPath + Send + Sync + 'static,
        I: Input + ToSchema + Send + Sync + 'static,
        O: Serialize + ToSchema,
        R: Send + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        self.shapes::<I, O>();
        let write = Arc::new(write);
        self.0.handler = Handler::Prepared(Arc::new(move |kernel, raw| {
            let preparing = sent(raw).map(Arc::new).map(|call| (prepare(kernel, call.clone()), call));
            let write = write.clone();
            Box::pin(async move {
                let (preparing, call) = preparing?;
                let prepared = preparing.await?;
                Ok(Box::new(move |tx: &mut WriteTx| answer(write(tx, &call, prepared)?)) as Prepared)
            })
        }));
        self.0
    }

    /// [`Builder::prepares`] by methods of a service.
    pub fn prepares_with<S, P, I, O, R, F>(
        self,
        service: &Arc<S>,
        prepare: fn(Arc<S>, Arc<Kernel>, Arc<Call<P, I>>) -> F,
        command: fn(&S, &mut WriteTx, &Call<P, I>, R) -> Result<O>,
    ) -> Endpoint
    where
        S: Send + Sync + 'static,
        P: FromPath + Send + Sync + 'static,
        I: Input + ToSchema + Send + Sync + 'static,
        O: Serialize + ToSchema + 'static,
        R: Send + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let (preparing, writing) = (service.clone(), service.clone());
        self.prepares(
            move |kernel, call| prepare(preparing.clone(), kernel, call),
            move |tx, call, prepared| command(&writing, tx, call, prepared),
        )
    }

    /// [`Builder::runs`] by a method of a service.
    pub fn runs_with<S, P, I, O, F>(
        self,
        service: &Arc<S>,
        run: fn(Arc<S>, Arc<Kernel>, Call<P, I>) -> F,
    ) -> Endpoint
    where
        S: Send + Sync + 'static,
        P: FromPath + Send + 'static,
        I: Input + ToSchema + Send + 'static,
        O: Serialize + ToSchema + 'static,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let service = service.clone();
        self.runs(move |kernel, call| run(service.clone(), kernel, call))
    }

    /// Something that opens its own transactions. Of a GET the input is its query.
    pub fn runs<P, I, O, F>(
        mut self,
        handle: impl Fn(Arc<Kernel>, Call<P, I>) -> F + Send + Sync + 'static,
    ) -> Endpoint
    where
        P: FromPath + Send + 'static,
        I: Input + ToSchema + Send + 'static,
        O: Serialize + ToSchema,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let is_query = self.0.method == Method::GET;
        if is_query {
            self.0.output = Shape::of::<O>;
            (self.0.query_names, self.0.query_shapes) = (I::NAMES, I::shapes());
        } else {
            self.shapes::<I, O>();
        }
        let read: fn(RawCall) -> Result<Call<P, I>> = if is_query { queried } else { sent };
        self.0.handler = Handler::Async(Arc::new(move |kernel, raw| match read(raw) {
            Ok(call) => {
                let running = handle(kernel, call);
                Box::pin(async move { answer(running.await?) })
            }
            Err(error) => Box::pin(async move { Err(error) }),
        }));
        self.0
    }

    /// Server-sent events. `Last-Event-ID` stands in the query as `after`; the last argument of `handle` turns true
    /// when the server stops.
    pub fn streams<P: FromPath, I: Input>(
        mut self,
        handle: impl Fn(Arc<Kernel>, Call<P, I>, watch::Receiver<bool>) -> Result<Streamed>
        + Send
        + Sync
        + 'static,
    ) -> Endpoint {
        (self.0.query_names, self.0.query_shapes) = (I::NAMES, I::shapes());
        self.0.handler = Handler::Stream(Arc::new(move |kernel, raw, stop| {
            let call = queried(raw)?;
            handle(kernel, call, stop)
        }));
        self.0
    }

    /// A command with a call to the outside in the middle. `C` is what the call needs, `R` what it brings back.
    pub fn calls_out<P, I, O, C, R, F>(
        mut self,
        claim: impl Fn(&mut WriteTx, &Call<P, I>) -> Result<Claim<C, O>> + Send + Sync + 'static,
        call: impl Fn(C) -> F + Send + Sync + 'static,
        settle: impl Fn(&mut WriteTx, &Call<P, I>, R) -> Result<O> + Send + Sync + 'static,
        present: impl Fn(&ReadTx, &Call<P, I>) -> Result<O> + Send + Sync + 'static,
    ) -> Endpoint
    where
        P: FromPath,
        I: Input + ToSchema,
        O: Serialize + ToSchema,
        C: Send + 'static,
        R: Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        self.shapes::<I, O>();
        let lost = || crate::kernel::error::fault!("a remote command lost its type");
        self.0.handler = Handler::Remote(Arc::new(Remote {
            claim: Box::new(move |tx, raw| match claim(tx, &sent(raw)?)? {
                Claim::Done(out) => answer(out).map(Claimed::Done),
                Claim::Call(needed) => Ok(Claimed::Call(Box::new(needed))),
            }),
            call: Box::new(move |needed| {
                let running = needed.downcast::<C>().ok().map(|it| call(*it));
                Box::pin(async move {
                    match running {
                        Some(running) => Box::new(running.await) as Box<dyn Any + Send>,
                        None => Box::new(()),
                    }
                })
            }),
            settle: Box::new(move |tx, raw, brought| {
                let brought = brought.downcast::<R>().map_err(|_| lost())?;
                answer(settle(tx, &sent(raw)?, *brought)?)
            }),
            present: Box::new(move |tx, raw| answer(present(tx, &sent(raw)?)?)),
        }));
        self.0
    }

    /// Takes the bytes as they came, from somebody who has no credential of ours but signs what it sends. `judge` reads
    /// them in a snapshot and refuses what is not signed, at no cost to the writer; then `write` acts on what it made of
    /// them. What is refused counts as a guess: see `limits.rs`.
    pub fn hears<P, R, O>(
        mut self,
        judge: impl Fn(&ReadTx, &RawBytes<P>) -> Result<R> + Send + Sync + 'static,
        write: impl Fn(&mut WriteTx, &Caller, R) -> Result<O> + Send + Sync + 'static,
    ) -> Endpoint
    where
        P: FromPath,
        R: Send + 'static,
        O: Serialize + ToSchema,
    {
        self.0.output = Shape::of::<O>;
        let write = Arc::new(write);
        self.0.handler = Handler::Hear(Arc::new(move |tx, raw| {
            let path = P::from_path(&raw.path).ok_or(ApiRefusal::NotFound)?;
            let heard = RawBytes { caller: raw.caller, path, headers: raw.headers, body: raw.body };
            let (judged, write, caller) = (judge(tx, &heard)?, write.clone(), heard.caller);
            Ok(Box::new(move |tx: &mut WriteTx| answer(write(tx, &caller, judged)?)) as Prepared)
        }));
        self.0
    }

    fn shapes<I: Input + ToSchema, O: Serialize + ToSchema>(&mut self) {
        if !I::NAMES.is_empty() {
            self.0.input = Shape::of_input::<I>;
        }
        self.0.output = Shape::of::<O>;
    }
}

fn queried<P: FromPath, I: Input>(raw: RawCall) -> Result<Call<P, I>> {
    let path = P::from_path(&raw.path).ok_or(ApiRefusal::NotFound)?;
    Ok(Call { caller: raw.caller, path, input: read_query(raw.query)? })
}

fn sent<P: FromPath, I: Input>(raw: RawCall) -> Result<Call<P, I>> {
    let path = P::from_path(&raw.path).ok_or(ApiRefusal::NotFound)?;
    read_query::<()>(raw.query)?;
    Ok(Call { caller: raw.caller, path, input: read_body(raw.body)? })
}

fn answer(out: impl Serialize) -> Result<Body> {
    Body::of(&out)
}

fn found(out: impl Serialize) -> Result<Value> {
    serde_json::to_value(out)
        .map_err(|error| crate::kernel::error::fault!("an answer cannot be JSON: {error}"))
}
