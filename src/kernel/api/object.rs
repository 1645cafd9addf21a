//! What all objects have in common, said once: the fields every row carries, the list with its filters, the form that
//! is shown, and the commands' plumbing. A module says what is its own.
//!
//! ```ignore
//! #[derive(Encode, Decode)]
//! pub struct Funding { pub user: UserId, pub amount: Amount, pub history: History<FundingStatus>, pub stamp: Stamp }
//! row!(Funding);
//! stamped!(Funding);
//!
//! object! {
//!     /// A deposit.
//!     pub struct FundingOut: "funding" of (id: FundingId, row: &Funding) {
//!         status: FundingStatus = row.status(),
//!         amount: Amount = row.amount,
//!     }
//! }
//!
//! filters! {
//!     pub struct FundingQuery of Funding { status: FundingStatus = |row| row.status() }
//! }
//!
//! get("/fundings").lists(|tx, call: &Call<(), FundingQuery>| {
//!     Ok(list(tx, call, &FUNDINGS, Some(BY_USER))?.map(|((_, id), row)| FundingOut::of(id, &row)))
//! })
//! ```

use std::{collections::BTreeMap, fmt::Display};

use serde_json::Value;
use utoipa::openapi::{RefOr, schema::Schema};

use super::{
    call::Call,
    input::{Field, Fields, Flaw, Flaws, Input, Metadata},
    page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
    principal::{ClientId, UserId},
    problem::ApiRefusal,
};
use crate::kernel::{
    clock::Time,
    error::Result,
    store::{
        Index, Key, ReadTx, Row, Table, WriteTx,
        codec::{Decode, Encode},
    },
};

/// What every stored object carries besides its own fields. Last in its row.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Stamp {
    /// The client's own name of it: unique among the client's objects of this kind.
    pub external_id: Option<String>,
    pub metadata: Metadata,
    pub created_at: Time,
    pub updated_at: Time,
    /// 1 when made, one more with every change.
    pub version: u64,
}

impl Stamp {
    /// Of an object made now.
    pub fn new(tx: &WriteTx, external_id: Option<&ExternalId>, metadata: &Metadata) -> Stamp {
        let external_id = external_id.map(|it| it.0.clone());
        Stamp { external_id, metadata: metadata.clone(), ..Stamp::at(tx.now()) }
    }

    /// Of an object made at this instant that nobody named.
    pub fn at(now: Time) -> Stamp {
        let metadata = Metadata::default();
        Stamp { external_id: None, metadata, created_at: now, updated_at: now, version: 1 }
    }

    /// Notes that the object was changed now.
    pub fn touch(&mut self, now: Time) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// The same of what clients neither name nor annotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Times {
    pub created_at: Time,
    pub updated_at: Time,
    /// 1 when made, one more with every change.
    pub version: u64,
}

impl Times {
    /// Of something made at this instant.
    pub fn at(now: Time) -> Times {
        Times { created_at: now, updated_at: now, version: 1 }
    }

    /// Notes that it was changed now.
    pub fn touch(&mut self, now: Time) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// What knows when it was made and changed: see [`timed!`] and [`stamped!`].
pub trait Timed {
    const HAS_METADATA: bool;
    fn created_at(&self) -> Time;
    fn metadata(&self) -> Option<&Metadata>;
    fn touch(&mut self, now: Time);
}

/// What has a [`Stamp`], stored or not: see [`stamped!`].
pub trait Stamped: Timed {
    fn stamp(&self) -> &Stamp;
}

/// `stamped!(Funding);` for a row whose stamp is called `stamp`.
macro_rules! stamped {
    ($row:ty) => {
        impl $crate::kernel::api::object::Stamped for $row {
            fn stamp(&self) -> &$crate::kernel::api::object::Stamp {
                &self.stamp
            }
        }
        $crate::kernel::api::object::timed!($row, stamp, true, |row| Some(&row.stamp.metadata));
    };
}
pub(crate) use stamped;

/// `timed!(Attempt);` for a row whose [`Times`] are called `times`.
macro_rules! timed {
    ($row:ty) => {
        $crate::kernel::api::object::timed!($row, times, false, |_row| None);
    };
    ($row:ty, $times:ident, $has_metadata:literal, |$it:ident| $metadata:expr) => {
        impl $crate::kernel::api::object::Timed for $row {
            const HAS_METADATA: bool = $has_metadata;
            fn created_at(&self) -> $crate::kernel::clock::Time {
                self.$times.created_at
            }
            fn metadata(&self) -> Option<&$crate::kernel::api::input::Metadata> {
                let $it = self;
                $metadata
            }
            fn touch(&mut self, now: $crate::kernel::clock::Time) {
                self.$times.touch(now);
            }
        }
    };
}
pub(crate) use timed;

/// Stores a row that was changed: as of now, one version later.
pub fn save<K: Key, V: Timed + Row>(
    tx: &mut WriteTx,
    table: &Table<K, V>,
    key: &K,
    row: &mut V,
) -> Result<()> {
    row.touch(tx.now());
    tx.put(table, key, row)
}

/// The client's own name of an object: 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
pub struct ExternalId(pub String);

impl ExternalId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for ExternalId {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let text = String::parse(value)?;
        if text.trim().is_empty() || text.chars().count() > 255 {
            return Err(vec![Flaw::new("", "out_of_range", "must have 1 to 255 characters")]);
        }
        Ok(ExternalId(text))
    }
}

/// (client, external id) → the object that has it.
pub const fn by_external_id<I: Key, V: Stamped + Row>(name: &'static str) -> Index<(ClientId, I), V> {
    Index::lookup(name, |key, row| {
        row.stamp().external_id.iter().map(|it| (key.0, it.clone()).to_key()).collect()
    })
}

/// Refuses `external_id_taken` when another object of the client has this name in `index`.
pub fn check_external_id<I: Key + Display, V: Row>(
    tx: &ReadTx,
    table: &Table<(ClientId, I), V>,
    index: &str,
    client: ClientId,
    external_id: Option<&ExternalId>,
) -> Result<()> {
    let Some(ExternalId(text)) = external_id else { return Ok(()) };
    match tx.find(table, index, &(client, text.clone()))? {
        None => Ok(()),
        Some(((_, other), _)) => Err(ApiRefusal::ExternalIdTaken { existing_id: other.to_string() }.into()),
    }
}

/// What every list takes besides its own filters.
#[derive(Debug)]
pub struct ListQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    created_from: Option<Time>,
    created_to: Option<Time>,
    metadata: MetadataFilter,
    /// Where objects have owners.
    pub user_id: Option<UserId>,
}

impl ListQuery {
    pub fn take(fields: &mut Fields, has_metadata: bool, has_owner: bool) -> Option<ListQuery> {
        let (limit, cursor) = (fields.take("limit"), fields.take("cursor"));
        let (created_from, created_to) = (fields.take("created_from"), fields.take("created_to"));
        let metadata = if has_metadata { fields.take("metadata") } else { Some(MetadataFilter::default()) };
        let user_id = if has_owner { fields.take("user_id") } else { Some(None) };
        Some(ListQuery {
            limit: limit?,
            cursor: cursor?,
            created_from: created_from?,
            created_to: created_to?,
            metadata: metadata?,
            user_id: user_id?,
        })
    }

    fn wants(&self, row: &impl Timed) -> bool {
        created_within(row.created_at(), self.created_from, self.created_to)
            && row.metadata().is_none_or(|it| self.metadata.wants(it))
    }
}

/// `metadata[order]=17`: objects whose notes say so, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataFilter(BTreeMap<String, String>);

impl MetadataFilter {
    pub fn wants(&self, metadata: &Metadata) -> bool {
        self.0.iter().all(|(key, value)| metadata.0.get(key) == Some(value))
    }
}

impl Field for MetadataFilter {
    fn parse(value: Value) -> Result<Self, Flaws> {
        Metadata::parse(value).map(|it| MetadataFilter(it.0))
    }
    fn absent() -> Option<Self> {
        Some(MetadataFilter::default())
    }
}

/// The filters of a list: see [`filters!`].
pub trait Filters: Input + std::fmt::Debug {
    type Row: Timed + Row;
    fn common(&self) -> &ListQuery;
    /// Whether the row passes the list's own filters.
    fn pass(&self, row: &Self::Row) -> bool;

    /// Whether the row is listed.
    fn keeps(&self, row: &Self::Row) -> bool {
        self.common().wants(row) && self.pass(row)
    }

    /// The page asked for; `user` is the one the list is limited to.
    fn paging(&self, user: Option<UserId>) -> Paging {
        let common = self.common();
        // All of the query but the page: what decides which rows are listed.
        let filters = (self, user, common.created_from, common.created_to, &common.metadata);
        Paging::new(common.limit, &common.cursor, filters)
    }
}

/// Declares the query of a list: `$field` of the query is `None`, or what the expression must equal; with a second
/// argument, `|row, wanted|`, the expression says itself whether the row is listed. The debug form shows the list's own
/// filters only.
macro_rules! filters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident of $row:ty $(, owned by $owner:ident)? {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty = |$it:ident $(, $wanted:ident)?| $value:expr ),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            pub common: $crate::kernel::api::object::ListQuery,
            $( $(#[$field_meta])* pub $field: Option<$type>, )*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_list() $( .entry(&self.$field) )* .finish()
            }
        }

        impl $crate::kernel::api::input::Input for $name {
            const NAMES: &'static [&'static str] = {
                const NAMES: &[&str] = &[
                    "metadata", "limit", "cursor", "created_from", "created_to",
                    $( { let _ = stringify!($owner); "user_id" }, )?
                    $( $crate::kernel::api::input::field_name(stringify!($field)) ),*
                ];
                if <$row as $crate::kernel::api::object::Timed>::HAS_METADATA { NAMES } else { NAMES.split_at(1).1 }
            };
            fn take(fields: &mut $crate::kernel::api::input::Fields) -> Option<Self> {
                const HAS_OWNER: bool = false $( || { let _ = stringify!($owner); true } )?;
                const HAS_METADATA: bool = <$row as $crate::kernel::api::object::Timed>::HAS_METADATA;
                let common = $crate::kernel::api::object::ListQuery::take(fields, HAS_METADATA, HAS_OWNER);
                $( let $field = fields.take($crate::kernel::api::input::field_name(stringify!($field))); )*
                Some($name { common: common?, $( $field: $field? ),* })
            }
            fn shapes() -> Vec<$crate::kernel::api::object::NamedShape> {
                vec![ $( (
                    $crate::kernel::api::input::field_name(stringify!($field)),
                    <$type as utoipa::PartialSchema>::schema(),
                ) ),* ]
            }
        }

        impl $crate::kernel::api::object::Filters for $name {
            type Row = $row;
            fn common(&self) -> &$crate::kernel::api::object::ListQuery {
                &self.common
            }
            #[allow(unused_variables, reason = "a list may have no filters of its own")]
            fn pass(&self, row: &$row) -> bool {
                true $( && self.$field.as_ref().is_none_or(
                    |asked| $crate::kernel::api::object::filters!(@pass row asked |$it $(, $wanted)?| $value)
                ) )*
            }
        }
    };
    (@pass $row:ident $asked:ident |$it:ident| $value:expr) => {{
        let $it = $row;
        $value == *$asked
    }};
    (@pass $row:ident $asked:ident |$it:ident, $wanted:ident| $value:expr) => {{
        let ($it, $wanted) = ($row, $asked);
        $value
    }};
}
pub(crate) use filters;

/// A query parameter and its schema.
pub type NamedShape = (&'static str, RefOr<Schema>);

/// A page of the client's objects, newest first, those that pass the filters. With `by_user`, an index of (client,
/// user): limited to what the caller owns, or to the user it names.
pub fn list<I: Key, Q: Filters>(
    tx: &ReadTx,
    call: &Call<(), Q>,
    table: &Table<(ClientId, I), Q::Row>,
    by_user: Option<&str>,
) -> Result<Page<((ClientId, I), Q::Row)>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let user = match by_user {
        Some(_) => call.caller.limited_to(query.common().user_id)?,
        None => None,
    };
    let paging = query.paging(user);
    match by_user.zip(user) {
        Some((index, user)) => page_by(tx, table, index, &(client, user), &paging, |it| query.keeps(it)),
        None => page(tx, table, &client, &paging, |it| query.keeps(it)),
    }
}

/// Declares the form in which an object is shown, and where each field comes from. `id`, `object` and the fields of the
/// [`Stamp`] are added; after `of (…) timed` those of [`Times`], after `of (…) bare` none.
macro_rules! object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident : $object:literal of $args:tt { $($fields:tt)* }) => {
        $crate::kernel::api::object::object! {
            @declare [$(#[$meta])*] $vis $name $object $args { $($fields)* }
            [stamp = |row| $crate::kernel::api::object::Stamped::stamp(row).clone()]
            external_id: Option<String> = stamp.external_id,
            created_at: $crate::kernel::clock::Time = stamp.created_at,
            updated_at: $crate::kernel::clock::Time = stamp.updated_at,
            version: u64 = stamp.version,
            metadata: $crate::kernel::api::input::Metadata = stamp.metadata,
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident : $object:literal of $args:tt timed { $($fields:tt)* }) => {
        $crate::kernel::api::object::object! {
            @declare [$(#[$meta])*] $vis $name $object $args { $($fields)* }
            [times = |row| row.times]
            created_at: $crate::kernel::clock::Time = times.created_at,
            updated_at: $crate::kernel::clock::Time = times.updated_at,
            version: u64 = times.version,
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident : $object:literal of $args:tt bare { $($fields:tt)* }) => {
        $crate::kernel::api::object::object! {
            @declare [$(#[$meta])*] $vis $name $object $args { $($fields)* }
            []
        }
    };
    (@declare [$($meta:tt)*] $vis:vis $name:ident $object:literal
        ($id:ident : $id_type:ty, $row:ident : $row_type:ty $(, $more:ident : $more_type:ty)* $(,)?)
        { $( $(#[$field_meta:meta])* $field:ident : $type:ty = $value:expr ),* $(,)? }
        [$($tail:ident = |$of:ident| $tail_value:expr)?]
        $( $tail_field:ident : $tail_type:ty = $tail_from:expr, )*
    ) => {
        $($meta)*
        #[derive(serde::Serialize, utoipa::ToSchema)]
        $vis struct $name {
            pub id: $id_type,
            #[schema(value_type = String)]
            object: &'static str,
            $( $(#[$field_meta])* $field: $type, )*
            $( $tail_field: $tail_type, )*
        }

        impl $name {
            $vis fn of($id: $id_type, $row: $row_type $(, $more: $more_type)*) -> $name {
                $( let $tail = { let $of = $row; $tail_value }; )?
                $name {
                    id: $id,
                    object: $object,
                    $( $field: $value, )*
                    $( $tail_field: $tail_from, )*
                }
            }
        }
    };
}
pub(crate) use object;
