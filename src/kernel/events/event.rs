//! What an event is, and who hears it.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::kernel::{
    api::principal::{Actor, ClientId},
    clock::Time,
    error::{Result, fault},
    id::id,
    store::{
        WriteTx,
        codec::{Decode, Encode, row},
    },
};

id!(/** An event. Ids are in commit order. */ EventId, "evt");

/// Something that happened, in the past tense. The payload carries ids and what a listener needs, never a copy of an
/// entity.
pub trait Event: Serialize + DeserializeOwned + utoipa::ToSchema + 'static {
    /// `withdrawal.requested`. Stored with every occurrence: never renamed.
    const NAME: &'static str;
    const VERSION: u32 = 1;
    /// The id of what it happened to.
    fn entity(&self) -> String;
}

/// `event!(WithdrawalRequested, "withdrawal.requested", withdrawal_id);` — the field names the entity.
macro_rules! event {
    ($name:ident, $text:literal, $entity:ident) => {
        impl $crate::kernel::events::event::Event for $name {
            const NAME: &'static str = $text;
            fn entity(&self) -> String {
                self.$entity.to_string()
            }
        }
    };
}
pub(crate) use event;

/// Declares events that say the same of an entity, one for each thing that can happen to it:
///
/// ```ignore
/// events! {
///     funding_id of (id: FundingId, row: &Funding) {
///         funding_id: FundingId = id,
///         user_id: UserId = row.user,
///     }
///     /// The user has the money.
///     FundingCompleted = "funding.completed",
/// }
/// ```
///
/// `FundingCompleted::of(id, &row)` makes one; `announced(boot)` tells the catalogue of all of them. Where the fields
/// come from nowhere in particular, several kinds of event stand in one list, and are made as any struct is:
///
/// ```ignore
/// events! {
///     key_id of { key_id: KeyId }
///     /// A key was made.
///     ApiKeyCreated = "api_key.created",
///     /// A key works no more.
///     ApiKeyRevoked = "api_key.revoked";
///
///     key_id of { key_id: KeyId, grace_s: u64 }
///     /// A key got a new text.
///     ApiKeyRotated = "api_key.rotated";
/// }
/// ```
macro_rules! events {
    (@plain $entity:ident { $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)? }
        [$($meta:tt)*] $name:ident $text:literal) => {
        $($meta)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type ),* }
        $crate::kernel::events::event::event!($name, $text, $entity);
    };
    (@one $entity:ident ($($arg:ident : $arg_type:ty),* $(,)?)
        { $( $(#[$field_meta:meta])* $field:ident : $type:ty = $value:expr ),* $(,)? }
        [$($meta:tt)*] $name:ident $text:literal) => {
        $($meta)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type ),* }
        $crate::kernel::events::event::event!($name, $text, $entity);

        impl $name {
            pub(super) fn of($($arg: $arg_type),*) -> $name {
                $name { $( $field: $value ),* }
            }
        }
    };
    ($entity:ident of $args:tt $fields:tt $( $(#[$meta:meta])* $name:ident = $text:literal ),* $(,)?) => {
        $( $crate::kernel::events::event::events!(@one $entity $args $fields [$(#[$meta])*] $name $text); )*

        pub(super) fn announced(boot: &mut $crate::kernel::boot::Boot) {
            $( boot.announces::<$name>(); )*
        }
    };
    ($( $entity:ident of $fields:tt $( $(#[$meta:meta])* $name:ident = $text:literal ),+ ; )+) => {
        $( $( $crate::kernel::events::event::events!(@plain $entity $fields [$(#[$meta])*] $name $text); )+ )+

        pub(super) fn announced(boot: &mut $crate::kernel::boot::Boot) {
            $( $( boot.announces::<$name>(); )+ )+
        }
    };
}
pub(crate) use events;

/// An event as stored and as delivered.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Envelope {
    pub id: EventId,
    pub name: String,
    pub version: u32,
    /// `None` for what concerns the installation.
    pub client: Option<ClientId>,
    pub occurred_at: Time,
    pub actor: Actor,
    /// The id of what it happened to.
    pub entity: String,
    /// The request that started the chain.
    pub correlation: String,
    /// The event whose listener published this one.
    pub causation: Option<EventId>,
    /// How many events led to this one. A chain longer than [`MAX_DEPTH`] is a loop and is refused.
    pub depth: u8,
    /// JSON, so that a field can be added without touching what is stored.
    pub payload: String,
}
row!(Envelope);

pub const MAX_DEPTH: u8 = 32;
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

impl Envelope {
    /// The payload as the event it is. A fault when it is another one.
    pub fn read<E: Event>(&self) -> Result<E> {
        if self.name != E::NAME {
            return Err(fault!("{} is not {}", self.name, E::NAME));
        }
        serde_json::from_str(&self.payload)
            .map_err(|error| fault!("{} {} does not read: {error}", self.name, self.id))
    }
}

/// How a listener was written: what the configuration may make of it follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Inside the causing transaction: its refusal refuses the command. The books depend on it, so the configuration
    /// cannot say otherwise: it is *pinned*.
    Sync,
    /// After the commit, with an exactly-once effect; or as the configuration says.
    Queue,
}

type Heard = dyn Fn(&mut WriteTx, &Envelope) -> Result<()> + Send + Sync;

/// One function that hears one event.
#[derive(Clone)]
pub struct Listener {
    /// `funding.settle`: stored with deliveries, never renamed.
    pub name: &'static str,
    pub event: &'static str,
    pub module: &'static str,
    /// It is heard in `default`, wherever the module lives.
    pub beside_outbox: bool,
    pub mode: Mode,
    pub run: Run,
}

#[derive(Clone)]
pub enum Run {
    /// Touches only our store.
    Inside(Arc<Heard>),
    /// Reaches out: the courier registered under the listener's name.
    Outside,
}

impl Listener {
    pub fn is_external(&self) -> bool {
        matches!(self.run, Run::Outside)
    }
}

/// Every event that exists, for the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventInfo {
    pub name: &'static str,
    pub version: u32,
    pub module: &'static str,
}
