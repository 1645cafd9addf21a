//! Addresses of crypto gateways: each is handed to one attempt, once, for ever, in the whole installation. What arrives
//! late, or twice, is known by its address.
//!
//! A gateway derives them from an account's extended public key (Bitcoin, BIP 84: native SegWit), or hands out those of
//! a pool that was filled by hand, on whatever network. Nothing here can spend.

mod address;
mod derive;
mod pool;
mod routes;
mod watch;

pub use address::is_address;
pub use derive::check_xpub;
pub use pool::{
    ACCOUNTS, ADDRESSES, Address, AddressKey, OWNERS, find, find_owners, forget_owners, hand_out, has_one,
};
pub use routes::endpoints;
pub use watch::{job as watch_job, look_soon};
