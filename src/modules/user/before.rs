//! Users as earlier releases stored them.

use super::{
    contract::{STANDARD_TIER, UserStatus},
    repository::UserRow,
};
use crate::{
    kernel::{
        api::{object::Stamp, principal::UserId},
        machine::History,
        store::codec::{Decode, Encode},
    },
    modules::role::contract::RoleId,
};

/// Before users had tiers.
#[derive(Encode, Decode)]
pub struct UserRowV1 {
    email: String,
    first_name: String,
    last_name: String,
    phone: Option<String>,
    history: History<UserStatus>,
    roles: Vec<RoleId>,
    referral_code: String,
    referred_by: Option<UserId>,
    stamp: Stamp,
}

/// Before a new address had to be confirmed.
#[derive(Encode, Decode)]
pub struct UserRowV2 {
    email: String,
    first_name: String,
    last_name: String,
    phone: Option<String>,
    history: History<UserStatus>,
    roles: Vec<RoleId>,
    tier: String,
    referral_code: String,
    referred_by: Option<UserId>,
    stamp: Stamp,
}

impl From<UserRowV1> for UserRow {
    fn from(it: UserRowV1) -> UserRow {
        UserRow::from(UserRowV2 {
            email: it.email,
            first_name: it.first_name,
            last_name: it.last_name,
            phone: it.phone,
            history: it.history,
            roles: it.roles,
            tier: STANDARD_TIER.to_owned(),
            referral_code: it.referral_code,
            referred_by: it.referred_by,
            stamp: it.stamp,
        })
    }
}

impl From<UserRowV2> for UserRow {
    fn from(it: UserRowV2) -> UserRow {
        UserRow {
            email: it.email,
            pending_email: None,
            email_changed_at: None,
            first_name: it.first_name,
            last_name: it.last_name,
            phone: it.phone,
            history: it.history,
            roles: it.roles,
            tier: it.tier,
            referral_code: it.referral_code,
            referred_by: it.referred_by,
            stamp: it.stamp,
        }
    }
}
