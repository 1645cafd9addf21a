//! The store: typed tables over an ordered key-value engine, one writer thread, snapshots for everybody else.
//!
//! From the top down: [`store`] is what the rest of the crate holds; [`writer`] runs the jobs and commits them in
//! groups; [`tx`] is what a job sees; [`gather`] is what it writes once at its end; [`table`], [`key`] and [`codec`]
//! say what its bytes mean; [`write_set`] is what it changed; [`engine`] is the seam, with redb behind it in
//! [`redb_engine`].

pub mod codec;
pub mod engine;
mod gather;
pub mod key;
mod limit;
pub mod metrics;
pub mod migration;
mod names;
pub mod open;
pub mod random;
mod redb_engine;
mod scan;
pub mod sim_disk;
#[allow(clippy::module_inception, reason = "the store of the module store")]
pub mod store;
pub mod table;
pub mod tx;
pub mod verify;
pub mod write_set;
mod writer;

pub use codec::Row;
pub use engine::CommitMode;
pub use gather::Gather;
pub use key::Key;
pub use limit::SNAPSHOT_AGE;
pub use metrics::StoreMetrics;
pub use names::Names;
pub use open::OpenError;
pub use random::Random;
pub use scan::Scan;
pub use store::{Store, StoreOptions, StoreRefusal};
pub use table::{Index, Table, TableInfo};
pub use tx::{ReadTx, WriteTx};
pub use verify::verify_tables;
