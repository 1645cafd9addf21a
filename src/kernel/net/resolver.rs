//! Names to addresses, each of them vetted.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Forbidden, NetError, Policy};

pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Knows the addresses of names.
pub trait Resolver: Send + Sync + 'static {
    fn resolve(&self, name: &str) -> Resolved;
}

/// The machine's own.
pub struct System;

impl Resolver for System {
    fn resolve(&self, name: &str) -> Resolved {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|it| it.ip()).collect())
        })
    }
}

/// A table: names have the addresses a test says, and may change them. `localhost` is 127.0.0.1.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Names {
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), addresses.to_vec());
    }
}

impl Resolver for Names {
    fn resolve(&self, name: &str) -> Resolved {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let known = known.or_else(|| (name == "localhost").then(|| vec![[127, 0, 0, 1].into()]));
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such name");
        Box::pin(async move { known.ok_or_else(unknown) })
    }
}

/// Whichever resolver is asked at the moment.
#[derive(Clone)]
pub(super) struct Switch(Arc<RwLock<Arc<dyn Resolver>>>);

impl Default for Switch {
    fn default() -> Switch {
        Switch(Arc::new(RwLock::new(Arc::new(System))))
    }
}

impl Switch {
    pub fn set(&self, resolver: Arc<dyn Resolver>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = resolver;
    }

    fn resolve(&self, name: &str) -> Resolved {
        self.0.read().unwrap_or_else(PoisonError::into_inner).resolve(name)
    }
}

/// Stands between a client of HTTP and the resolver.
pub(super) struct Guard {
    pub policy: Arc<Policy>,
    pub resolver: Switch,
    pub is_tls: bool,
}

impl Guard {
    /// The addresses of a name. One that must not be reached spoils them all: who controls the name decides which of
    /// them is taken.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        let unresolved = |why: String| NetError::Unresolved(name.to_owned(), why);
        let found = self.resolver.resolve(name).await.map_err(|error| unresolved(error.to_string()))?;
        if found.is_empty() {
            return Err(unresolved("it has no address".into()));
        }
        match found.iter().all(|it| self.policy.permits(*it, self.is_tls)) {
            true => Ok(found),
            false => Err(Forbidden::Name(name.to_owned()).into()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard =
            Guard { policy: self.policy.clone(), resolver: self.resolver.clone(), is_tls: self.is_tls };
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            let sockets = found.into_iter().map(|it| SocketAddr::new(it, 0)); // The port is the URL's.
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
