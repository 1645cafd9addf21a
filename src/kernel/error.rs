//! The one error a use case returns.
//!
//! A *refusal* is an answer: the request was understood and the rules say no. It has a stable code that a caller
//! may act on. A *fault* is ours: it is logged once with its chain, and the caller learns nothing but that it
//! happened. How each reads over HTTP is decided in `api/problem.rs`, and nowhere else.

use std::{any::Any, fmt};

use serde_json::{Map, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum Error {
    Refused(Box<dyn Refusal>),
    Fault(anyhow::Error),
}

/// Implemented by one enum per contract (see [`refusals!`]): everything that contract may refuse.
pub trait Refusal: fmt::Debug + fmt::Display + Any + Send + Sync {
    /// Stable, snake_case, documented at `/docs/errors/{code}`.
    fn code(&self) -> &'static str;
    fn kind(&self) -> Kind;
    /// What was found and what was wanted, as further members of the problem document.
    fn params(&self) -> Map<String, Value>;
    /// Whether the rules of a module decided this, so that a repeat under the same idempotency key gets the same
    /// answer. What the kernel refuses before any rule was asked is decided afresh each time.
    fn of_contract(&self) -> bool {
        true
    }
}

/// What sort of "no" it is. `api/problem.rs` turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    Gone,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    Unprocessable,
    PreconditionRequired,
    TooManyRequests,
    Unavailable,
    OutOfSpace,
}

/// A row of the catalogue of refusals: golden file, OpenAPI document, `/docs/errors/{code}`.
#[derive(Debug, Clone, Copy)]
pub struct RefusalInfo {
    pub code: &'static str,
    pub kind: Kind,
    /// When it happens and what to do about it.
    pub about: &'static str,
}

impl Error {
    /// The refusal, when it is one of contract `R`'s.
    pub fn refusal<R: Refusal>(&self) -> Option<&R> {
        match self {
            Error::Refused(refusal) => (&**refusal as &dyn Any).downcast_ref(),
            Error::Fault(_) => None,
        }
    }

    /// The stable code, when it is a refusal.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Error::Refused(refusal) => Some(refusal.code()),
            Error::Fault(_) => None,
        }
    }
}

impl<R: Refusal> From<R> for Error {
    fn from(refusal: R) -> Error {
        Error::Refused(Box::new(refusal))
    }
}

impl From<anyhow::Error> for Error {
    fn from(fault: anyhow::Error) -> Error {
        Error::Fault(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => write!(f, "{}: {refusal}", refusal.code()),
            Error::Fault(fault) => write!(f, "{fault:#}"),
        }
    }
}

impl std::error::Error for Error {}

/// Returns a fault: something only a bug or a broken file can cause.
macro_rules! fault {
    ($($arg:tt)*) => { $crate::kernel::error::Error::Fault(anyhow::anyhow!($($arg)*)) };
}
pub(crate) use fault;

/// Declares what a contract refuses, one variant a line:
///
/// ```ignore
/// refusals! {
///     pub enum BalanceRefusal {
///         /// The account holds less than the command needs. Top it up and use a new idempotency key.
///         InsufficientFunds { available: Amount, wanted: Amount }: Unprocessable "insufficient_funds"
///             => "{available} available, {wanted} wanted",
///     }
/// }
/// ```
///
/// The doc comment is what `/docs/errors/{code}` shows; the fields become members of the problem document.
///
/// `kernel pub enum …` declares refusals decided before any rule of a module was asked: a repeat under the same
/// idempotency key decides afresh.
macro_rules! refusals {
    (kernel $($rest:tt)*) => { $crate::kernel::error::refusals! { @define false; $($rest)* } };
    (@define $of_contract:literal;
        $(#[doc = $enum_about:literal])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $about:literal])+
                $variant:ident $({ $($field:ident : $type:ty),* $(,)? })? : $kind:ident $code:literal => $message:literal
            ),* $(,)?
        }
    ) => {
        $(#[doc = $enum_about])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::enum_variant_names, reason = "a variant is named after its code")]
        $vis enum $name {
            $( $(#[doc = $about])+ $variant $({ $($field: $type),* })? ),*
        }

        impl $name {
            pub const CATALOGUE: &'static [$crate::kernel::error::RefusalInfo] = &[
                $( $crate::kernel::error::RefusalInfo {
                    code: $code,
                    kind: $crate::kernel::error::Kind::$kind,
                    about: concat!($($about),+),
                } ),*
            ];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( $name::$variant $({ $($field),* })? => {
                        $($(let _ = $field;)*)?
                        write!(f, $message)
                    } ),*
                }
            }
        }

        impl $crate::kernel::error::Refusal for $name {
            fn of_contract(&self) -> bool {
                $of_contract
            }
            fn code(&self) -> &'static str {
                match self { $( $name::$variant $({ $($field: _),* })? => $code ),* }
            }
            fn kind(&self) -> $crate::kernel::error::Kind {
                match self {
                    $( $name::$variant $({ $($field: _),* })? => $crate::kernel::error::Kind::$kind ),*
                }
            }
            fn params(&self) -> serde_json::Map<String, serde_json::Value> {
                #[allow(unused_mut)]
                let mut params = serde_json::Map::new();
                match self {
                    $( $name::$variant $({ $($field),* })? => {
                        $($( params.insert(
                            stringify!($field).to_owned(),
                            serde_json::to_value($field).unwrap_or_default(),
                        ); )*)?
                    } ),*
                }
                params
            }
        }
    };
    ($($rest:tt)*) => { $crate::kernel::error::refusals! { @define true; $($rest)* } };
}
pub(crate) use refusals;
