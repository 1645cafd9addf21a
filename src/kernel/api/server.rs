//! The listener: connections, their limits, and an orderly end.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::{
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt as _;

use super::{
    dispatch::{Peer, Stopping, remote_peer},
    problem::ApiRefusal,
    request::request_id,
    response::problem_response,
    unread::{Expecting, Left, Lingering},
};
use crate::{
    config::{Listen, Server},
    kernel::store::StoreRefusal,
};

/// Where a server listens.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds the configured address.
    pub async fn bind(listen: &Listen) -> io::Result<Listener> {
        match listen {
            Listen::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => Listener::bind_unix(path, 0o660),
        }
    }

    /// The socket of the command line: only the server's own user reaches it.
    pub fn bind_local(path: &Path) -> io::Result<Listener> {
        Listener::bind_unix(path, 0o600)
    }

    fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
        // The database's lock is held by now, so a socket that stands here belongs to a server that is gone.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        Ok(Listener::Unix(listener, path.to_owned()))
    }

    /// The address clients use: `127.0.0.1:8080`, or the socket's path.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Listener::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Listener::Unix(_, path) => Ok(format!("unix:{}", path.display())),
        }
    }
}

/// Serves `router` until `stop` turns true, then gives running requests the configured grace.
pub async fn serve(
    listener: Listener,
    router: Router,
    config: Server,
    is_admin: bool,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let config = Arc::new(config);
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let connection = tokio::select! {
            connection = accept(&listener, is_admin) => connection,
            _ = stop.wait_for(|it| *it) => break,
        };
        match connection {
            Ok((stream, peer)) => {
                let (router, config, stop) = (router.clone(), config.clone(), stop.clone());
                tokio::spawn(async move {
                    match stream {
                        Stream::Tcp(stream) => {
                            converse(TokioIo::new(stream), peer, router, config, stop).await
                        }
                        Stream::Unix(stream) => {
                            converse(TokioIo::new(stream), peer, router, config, stop).await
                        }
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "Could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await; // Out of file descriptors: let some close.
            }
        }
    }
    let grace = Duration::from_secs(config.shutdown_grace_s);
    let all = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(grace, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("Some requests did not finish within {} s and were dropped", config.shutdown_grace_s);
    }
    if let Listener::Unix(_, path) = &listener {
        let _ = std::fs::remove_file(path);
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(UnixStream),
}

async fn accept(listener: &Listener, is_admin: bool) -> io::Result<(Stream, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address): (_, SocketAddr) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(stream), remote_peer(address)))
        }
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let user = stream.peer_cred()?.uid();
            let own = rustix::process::geteuid().as_raw();
            let peer = Peer {
                ip: IpAddr::from([127, 0, 0, 1]),
                is_local_admin: is_admin && (user == own || user == 0),
            };
            Ok((Stream::Unix(stream), peer))
        }
    }
}

async fn converse<I>(
    io: TokioIo<I>,
    peer: Peer,
    router: Router,
    config: Arc<Server>,
    mut stop: watch::Receiver<bool>,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let timeout = Duration::from_secs(config.request_timeout_s);
    let patience = Duration::from_secs(config.header_timeout_s);
    let most_bytes = config.max_body_bytes;
    let stopping = Stopping(stop.clone());
    let lingering = Lingering::default();
    let ending = lingering.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, stopping, lingering) = (router.clone(), stopping.clone(), lingering.clone());
        // Pinned, because a connection that is asked for its socket back has to be movable.
        Box::pin(async move {
            let (left, expecting) = (Left::default(), Expecting::of(request.headers()));
            let mut request: Request =
                request.map(|it| if it.is_end_stream() { Body::empty() } else { Body::new(left.watch(it)) });
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(stopping);
            let (request_id, reads) = (request_id(request.headers()), request.method().is_safe());
            let answer = tokio::time::timeout(timeout, router.oneshot(request)).await;
            let (mut response, is_read) = match answer {
                Ok(Ok(response)) => (response, left.forget(&expecting, most_bytes, patience).await),
                Ok(Err(never)) => match never {},
                Err(_) if reads => {
                    (problem_response(&ApiRefusal::TimedOut.into(), &request_id), !left.is_any())
                }
                // A command that waits for the writer is still run.
                Err(_) => {
                    (problem_response(&StoreRefusal::OutcomeUnknown.into(), &request_id), !left.is_any())
                }
            };
            if !is_read {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                lingering.begin();
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .serve_connection(io, service);
    let mut ended = tokio::select! {
        ended = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(ended),
        _ = stop.wait_for(|it| *it) => None,
    };
    if ended.is_none() {
        Pin::new(&mut connection).graceful_shutdown();
        ended = Some(poll_fn(|context| connection.poll_without_shutdown(context)).await);
    }
    match ended {
        Some(Err(error)) => tracing::debug!(error = %error, "A connection ended early: {error}"),
        _ => ending.end(connection.into_parts().io.into_inner(), patience).await,
    }
}
