//! A server on loopback that takes webhooks, remembers them and answers what it is told.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};

/// Receives webhooks: `coffer.webhooks()`. It runs on a thread of its own, so that it answers while a test waits.
pub struct Recorder {
    base_url: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// What is answered at a path; 200 unless said.
    replies: Mutex<HashMap<String, Reply>>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The event it tells of.
    pub fn event_type(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// What the recorder answers.
#[derive(Debug, Clone)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Takes the request and says nothing.
    Hang,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Answer { status, headers: vec![], body: vec![] }
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        if let Reply::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Reply {
        if let Reply::Answer { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }
}

impl Recorder {
    /// One of its own; an instance has one already.
    pub fn start() -> Recorder {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("recorder").enable_all().build();
        let runtime = runtime.expect("a thread for the recorder");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let base_url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let shared = Arc::new(Shared::default());
        let answering = shared.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("inside of a runtime");
            while let Ok((stream, _)) = listener.accept().await {
                let shared = answering.clone();
                let answer = service_fn(move |request| answer(shared.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Recorder { base_url, shared, runtime: Some(runtime) }
    }

    /// The URL of a path: `coffer.webhooks().url("/hook")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    pub fn port(&self) -> u16 {
        self.base_url.rsplit(':').next().and_then(|it| it.parse().ok()).unwrap_or_default()
    }

    /// Answers like this at `path` from now on.
    pub fn reply(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), reply);
    }

    /// Everything that came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came at `path`.
    pub fn at(&self, path: &str) -> Vec<Received> {
        self.received().into_iter().filter(|it| it.path == path).collect()
    }

    /// Takes what came so far.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.shared.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `count` requests came, at most a minute.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..6000 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} webhooks wanted, found {:#?}", self.received());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // Whoever still waits for an answer sees the connection close.
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let text = |it: &hyper::header::HeaderValue| String::from_utf8_lossy(it.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = body.collect().await.map(|it| it.to_bytes().to_vec()).unwrap_or_default();
    let received = Received { path: path.clone(), headers, body };
    shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    let reply = shared.replies.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    match reply.unwrap_or_else(|| Reply::status(200)) {
        Reply::Hang => std::future::pending().await,
        Reply::Answer { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body.into())).expect("a well-formed answer"))
        }
    }
}
