//! What User stores.

use super::{
    before,
    contract::{User, UserStatus},
};
use crate::{
    kernel::{
        api::{
            object::{Stamp, by_external_id, stamped},
            principal::{Actor, ClientId, UserId},
        },
        clock::Time,
        error::{Result, fault},
        machine::History,
        store::{
            Index, Key, ReadTx, Scan, Table, WriteTx,
            codec::{Decode, Encode, row},
        },
    },
    modules::role::contract::RoleId,
};

pub const BY_EMAIL: &str = "user.users_by_email";
pub const BY_REFERRAL_CODE: &str = "user.users_by_referral_code";
pub const BY_EXTERNAL_ID: &str = "user.users_by_external_id";
pub const BY_WORD: &str = "user.users_by_word";
pub const BY_ROLE: &str = "user.users_by_role";

/// (client, user) → the person.
pub const USERS: Table<(ClientId, UserId), UserRow> = Table::new("user.users").with_indexes(&[
    Index::lookup(BY_EMAIL, |key, row| vec![(key.0, row.email.clone()).to_key()]),
    Index::lookup(BY_REFERRAL_CODE, |key, row| vec![(key.0, row.referral_code.clone()).to_key()]),
    by_external_id(BY_EXTERNAL_ID),
    // (client, address, name, last name or external id in small letters) → whoever it belongs to
    Index::listing(BY_WORD, |key, row| row.words().into_iter().map(|it| (key.0, it).to_key()).collect()),
    // (client, role) → whoever has it
    Index::listing(BY_ROLE, |key, row| row.roles.iter().map(|it| (key.0, *it).to_key()).collect()),
]);

/// (client, user) → the hash of its password. Apart, so that reading a user never reads it.
pub const CREDENTIALS: Table<(ClientId, UserId), Credentials> = Table::new("user.credentials");

/// (client, user) → a tier that waits until somebody else agrees
pub const TIER_PROPOSALS: Table<(ClientId, UserId), TierProposal> = Table::new("user.tier_proposals");

/// client → how many users it has. Kept by [`put`] alone.
pub const COUNTS: Table<ClientId, Counts> = Table::new("user.counts");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TierProposal {
    pub tier: String,
    pub by: Actor,
    pub at: Time,
    /// The version of the user it was proposed with: every proposal has another.
    pub revision: u32,
}
row!(TierProposal);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct UserRow {
    pub email: String,
    /// The address it is to have, once whoever reads that one says so.
    pub pending_email: Option<String>,
    /// When it got the address it has, where it had another one before.
    pub email_changed_at: Option<Time>,
    pub first_name: String,
    pub last_name: String,
    pub phone: Option<String>,
    pub history: History<UserStatus>,
    pub roles: Vec<RoleId>,
    pub tier: String,
    pub referral_code: String,
    pub referred_by: Option<UserId>,
    pub stamp: Stamp,
}
row!(UserRow, 3, { 1 => before::UserRowV1, 2 => before::UserRowV2 });
stamped!(UserRow);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Credentials {
    pub password_hash: String,
    pub changed_at: Time,
}
row!(Credentials);

/// How many users a client has, by status, and how many of the active ones are admins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    pub active: u64,
    pub frozen: u64,
    pub disabled: u64,
    pub active_admins: u64,
}
row!(Counts);

impl UserRow {
    /// What it is searched by.
    fn words(&self) -> Vec<String> {
        let name = format!("{} {}", self.first_name, self.last_name).to_lowercase();
        let mut words = vec![self.email.clone(), name, self.last_name.to_lowercase()];
        words.extend(self.stamp.external_id.as_ref().map(|it| it.to_lowercase()));
        words.sort();
        words.dedup();
        words
    }

    pub fn status(&self) -> UserStatus {
        self.history.status()
    }

    pub fn is_active_admin(&self, admin: RoleId) -> bool {
        self.status() == UserStatus::Active && self.roles.contains(&admin)
    }

    pub fn into_user(self, id: UserId) -> User {
        User {
            id,
            status: self.status(),
            email: self.email,
            pending_email: self.pending_email,
            first_name: self.first_name,
            last_name: self.last_name,
            phone: self.phone,
            roles: self.roles,
            tier: self.tier,
            referral_code: self.referral_code,
            referred_by: self.referred_by,
            stamp: self.stamp,
        }
    }
}

impl Counts {
    /// The counters `row` is counted in.
    fn of<'a>(&'a mut self, row: &UserRow, admin: RoleId) -> Vec<&'a mut u64> {
        let status = match row.status() {
            UserStatus::Active => &mut self.active,
            UserStatus::Frozen => &mut self.frozen,
            UserStatus::Disabled => &mut self.disabled,
        };
        if row.is_active_admin(admin) { vec![status, &mut self.active_admins] } else { vec![status] }
    }

    fn add(&mut self, row: &UserRow, admin: RoleId) {
        self.of(row, admin).into_iter().for_each(|it| *it += 1);
    }

    fn subtract(&mut self, row: &UserRow, admin: RoleId) {
        self.of(row, admin).into_iter().for_each(|it| *it = it.saturating_sub(1));
    }
}

pub fn counts(tx: &ReadTx, client: ClientId) -> Result<Counts> {
    Ok(tx.get(&COUNTS, &client)?.unwrap_or_default())
}

/// Stores a user and moves the counters: nobody else writes either. `before` is what was stored.
pub fn put(
    tx: &mut WriteTx,
    key: (ClientId, UserId),
    admin: RoleId,
    before: Option<&UserRow>,
    after: &UserRow,
) -> Result<()> {
    let mut counts = counts(tx, key.0)?;
    let counted = counts.clone();
    if let Some(before) = before {
        counts.subtract(before, admin);
    }
    counts.add(after, admin);
    if counts != counted {
        tx.put(&COUNTS, &key.0, &counts)?;
    }
    tx.put(&USERS, &key, after)
}

/// The beginning of a word inside [`BY_WORD`]: without the end mark of a whole text.
pub struct WordBeginsWith(pub ClientId, pub String);

impl Key for WordBeginsWith {
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        out.extend_from_slice(self.1.as_bytes());
    }
    fn read(_: &mut &[u8]) -> Option<Self> {
        None // Only ever the beginning of a key.
    }
}

/// What is wrong with the counters, and with what users refer to. `admin` names the admin role of a client.
pub fn check(tx: &ReadTx, admin: impl Fn(&ReadTx, ClientId) -> Result<RoleId>) -> Result<Vec<String>> {
    let mut wrong = vec![];
    let mut counted: Vec<(ClientId, RoleId, Counts)> = vec![];
    for row in tx.scan(&USERS, Scan::all()) {
        let ((client, id), row) = row?;
        if counted.last().is_none_or(|it| it.0 != client) {
            counted.push((client, admin(tx, client)?, Counts::default()));
        }
        let Some((_, admin, counts)) = counted.last_mut() else {
            return Err(fault!("a client was just added"));
        };
        counts.add(&row, *admin);
        if let Some(other) = row.referred_by
            && !tx.exists(&USERS, &(client, other))?
        {
            wrong.push(format!("{id} was referred by {other}, which is no user of {client}"));
        }
    }
    for (client, _, counts) in &counted {
        let kept = self::counts(tx, *client)?;
        if kept != *counts {
            wrong.push(format!("{client} has {counts:?}, its counters say {kept:?}"));
        }
    }
    for kept in tx.scan(&COUNTS, Scan::all()) {
        let (client, counts) = kept?;
        if counts != Counts::default() && !counted.iter().any(|it| it.0 == client) {
            wrong.push(format!("{client} has no users, its counters say {counts:?}"));
        }
    }
    for credentials in tx.scan(&CREDENTIALS, Scan::all()) {
        let (key, _) = credentials?;
        if !tx.exists(&USERS, &key)? {
            wrong.push(format!("there is a password of {}, which is no user of {}", key.1, key.0));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::{call::Caller, input::Metadata},
        id::Id as _,
        store::{
            Store, StoreOptions,
            codec::{Row as _, golden},
        },
    };

    fn ann(at: Time) -> UserRow {
        UserRow {
            email: "ann@example.com".into(),
            pending_email: Some("ann@example.org".into()),
            email_changed_at: Some(at),
            first_name: "Ann".into(),
            last_name: "Smith".into(),
            phone: Some("+43 660 1234567".into()),
            history: History::begin(UserStatus::Active, &Caller::system(None), at),
            roles: vec![RoleId::from_bytes([1; 16])],
            tier: "gold".into(),
            referral_code: "11J23FTT".into(),
            referred_by: Some(UserId::from_bytes([2; 16])),
            stamp: Stamp {
                metadata: Metadata([("tier".to_owned(), "gold".to_owned())].into()),
                ..Stamp::at(at)
            },
        }
    }

    #[test]
    fn counters_that_drift_and_references_to_nobody_are_found() {
        let store = Store::in_memory(StoreOptions::default());
        let problems = store.write_blocking(|tx| {
            let (client, user) = (ClientId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
            let admin = RoleId::from_bytes([1; 16]);
            let itself = |_: &ReadTx, _| Ok(admin);
            let row = ann(tx.now());
            put(tx, (client, user), admin, None, &row)?;
            assert_eq!(counts(tx, client)?, Counts { active: 1, active_admins: 1, ..Counts::default() });
            let none = check(tx, itself)?;

            let lost = UserRow { referred_by: Some(UserId::from_bytes([9; 16])), ..row.clone() };
            put(tx, (client, user), admin, Some(&row), &lost)?;
            tx.put(&COUNTS, &client, &Counts::default())?;
            tx.put(&COUNTS, &ClientId::from_bytes([3; 16]), &Counts { frozen: 1, ..Counts::default() })?;
            let credentials = Credentials { password_hash: String::new(), changed_at: tx.now() };
            tx.put(&CREDENTIALS, &(client, UserId::from_bytes([4; 16])), &credentials)?;
            Ok((none, check(tx, itself)?))
        });
        let (none, four) = problems.unwrap();
        assert_eq!(none, [""; 0]);
        assert_eq!(four.len(), 4, "{four:#?}");
    }

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden("user.users", &ann(at));
        let settled = UserRow { pending_email: None, email_changed_at: None, ..ann(at) };
        let standard = UserRow { tier: "standard".into(), ..settled.clone() };
        for (release, stored, row) in [
            ("first", include_str!("../../../tests/golden/rows/user.users.v1.hex"), standard),
            ("second", include_str!("../../../tests/golden/rows/user.users.v2.hex"), settled),
        ] {
            let stored = data_encoding::HEXLOWER.decode(stored.trim().as_bytes()).unwrap();
            assert_eq!(UserRow::decode_row(&stored).unwrap(), row, "what the {release} stored");
        }
        golden("user.credentials", &Credentials { password_hash: "$argon2id$".into(), changed_at: at });
        let proposal = TierProposal { tier: "gold".into(), by: Actor::System, at, revision: 2 };
        golden("user.tier_proposals", &proposal);
        golden("user.counts", &Counts { active: 3, frozen: 2, disabled: 1, active_admins: 1 });
    }
}
