//! What Auth stores of sessions.

use crate::kernel::{
    api::principal::{ClientId, SessionId, UserId},
    clock::Time,
    error::Result,
    store::{
        Index, Key, ReadTx, Row, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

pub const BY_ACCESS: &str = "auth.sessions_by_access";
pub const BY_REFRESH: &str = "auth.sessions_by_refresh";
pub const BY_EXPIRY: &str = "auth.sessions_by_expiry";
pub const SPENT_BY_EXPIRY: &str = "auth.spent_refresh_by_expiry";

/// (client, user, session) → the session. Tokens are kept as keyed hashes and found by them.
pub const SESSIONS: Table<(ClientId, UserId, SessionId), Session> =
    Table::new("auth.sessions").with_indexes(&[
        Index::lookup(BY_ACCESS, |_, row| vec![row.access_hash.to_vec()]),
        Index::lookup(BY_REFRESH, |_, row| vec![row.refresh_hash.to_vec()]),
        Index::listing(BY_EXPIRY, |_, row| vec![row.expires_at.to_key()]),
    ]);

/// (client, hash of a refresh token that was used) → the session it was of: using it again ends that session.
pub const SPENT: Table<(ClientId, [u8; 32]), Spent> = Table::new("auth.spent_refresh")
    .with_indexes(&[Index::listing(SPENT_BY_EXPIRY, |_, row| vec![row.expires_at.to_key()])]);

/// (client, user) → the e-mail address that the user has shown to be its own.
pub const PROVEN: Table<(ClientId, UserId), Proven> = Table::new("auth.proven_emails");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Session {
    pub access_hash: [u8; 32],
    pub access_expires_at: Time,
    pub refresh_hash: [u8; 32],
    /// Of the refresh token, and with it of the session.
    pub expires_at: Time,
    /// Where it was last signed in or refreshed from.
    pub ip: String,
    /// What the program there calls itself.
    pub user_agent: Option<String>,
    /// Of any request, at most a minute behind.
    pub last_used_at: Time,
    pub created_at: Time,
    pub refreshed_at: Time,
}
row!(Session, 2, { 1 => SessionV1 });

/// Before sessions said from what program they are, and when they were used.
#[derive(Encode, Decode)]
struct SessionV1 {
    access_hash: [u8; 32],
    access_expires_at: Time,
    refresh_hash: [u8; 32],
    expires_at: Time,
    ip: String,
    created_at: Time,
    refreshed_at: Time,
}

impl From<SessionV1> for Session {
    fn from(it: SessionV1) -> Session {
        Session {
            access_hash: it.access_hash,
            access_expires_at: it.access_expires_at,
            refresh_hash: it.refresh_hash,
            expires_at: it.expires_at,
            ip: it.ip,
            user_agent: None,
            last_used_at: it.refreshed_at,
            created_at: it.created_at,
            refreshed_at: it.refreshed_at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Spent {
    pub user: UserId,
    pub session: SessionId,
    /// When the token would have expired anyway: from then on there is nothing to detect.
    pub expires_at: Time,
}
row!(Spent);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Proven {
    /// The address at that time: the user may have another one since.
    pub email: String,
    pub at: Time,
}
row!(Proven);

/// The keys of a user's sessions.
pub fn sessions_of(
    tx: &ReadTx,
    client: ClientId,
    user: UserId,
) -> Result<Vec<(ClientId, UserId, SessionId)>> {
    tx.scan(&SESSIONS, Scan::prefix(&(client, user))).map(|it| Ok(it?.0)).collect()
}

/// Ends all sessions of a user but one.
pub fn end_sessions(
    tx: &mut WriteTx,
    client: ClientId,
    user: UserId,
    except: Option<SessionId>,
) -> Result<()> {
    for key in sessions_of(tx, client, user)?.into_iter().filter(|it| Some(it.2) != except) {
        tx.delete(&SESSIONS, &key)?;
    }
    Ok(())
}

/// The row that expires first, by an index of expiries.
pub fn first<K: Key, V: Row>(tx: &ReadTx, table: &Table<K, V>, index: &str) -> Result<Option<V>> {
    Ok(tx.scan_index(table, index, Scan::all()).next().transpose()?.map(|(_, row)| row))
}

/// Removes up to a bounded number of rows that have expired, by an index of expiries.
pub fn sweep<K: Key, V: Row>(tx: &mut WriteTx, table: &Table<K, V>, index: &str) -> Result<()> {
    let end = Time::from_micros(tx.now().micros() + 1).to_key(); // What expires now has expired.
    let expired = tx.scan_index(table, index, Scan::all().until(end)).take(500);
    for key in expired.map(|it| Ok(it?.0)).collect::<Result<Vec<K>>>()? {
        tx.delete(table, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = Session {
            access_hash: [1; 32],
            access_expires_at: at,
            refresh_hash: [2; 32],
            expires_at: at,
            ip: "192.0.2.1".into(),
            user_agent: Some("Firefox".into()),
            last_used_at: at,
            created_at: at,
            refreshed_at: at,
        };
        golden("auth.sessions", &row);
        let first = include_str!("../../../tests/golden/rows/auth.sessions.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        let unnamed = Session { user_agent: None, ..row };
        assert_eq!(Session::decode_row(&first).unwrap(), unnamed, "what the first release stored");
        let (user, session) = (UserId::from_bytes([3; 16]), SessionId::from_bytes([4; 16]));
        golden("auth.spent_refresh", &Spent { user, session, expires_at: at });
        golden("auth.proven_emails", &Proven { email: "ann@example.com".into(), at });
    }
}
