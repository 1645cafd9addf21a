//! The tables of Client.

use super::{
    approval::ApprovalOperation,
    contract::Client,
    model::{
        ClientRow, PolicyRow, SecretRow,
        key::{ApiKey, LastUse},
        loosened::SettingsProposal,
    },
};
use crate::kernel::{
    api::{
        input::Named as _,
        principal::{ClientId, KeyId},
    },
    clock::Time,
    error::{Result, fault},
    store::{
        Index, Key as _, ReadTx, Scan, Table,
        codec::{Decode, Encode, row},
    },
};

/// client → the client.
pub const CLIENTS: Table<ClientId, ClientRow> = Table::new("client.clients").with_indexes(&[
    Index::lookup("client.by_slug", |_, row| vec![row.client.slug.to_key()]),
    Index::lookup("client.by_external_id", |_, row| row.external_id.iter().map(|it| it.to_key()).collect()),
]);

pub const KEYS_BY_EXTERNAL_ID: &str = "client.keys_by_external_id";

/// (client, key) → the key. Found by the hash of its text, and of the text it had before.
pub const KEYS: Table<(ClientId, KeyId), ApiKey> = Table::new("client.keys").with_indexes(&[
    Index::lookup("client.keys_by_hash", |_, row| {
        let previous = row.previous.iter().map(|it| it.hash);
        std::iter::once(row.hash).chain(previous).map(|it| it.to_key()).collect()
    }),
    Index::lookup(KEYS_BY_EXTERNAL_ID, |(client, _), row| {
        row.external_id.iter().map(|it| (*client, it.clone()).to_key()).collect()
    }),
]);

/// (client, key) → when it was last used, at most a minute behind. Apart from the key, so that using one does not
/// change its version.
pub const KEYS_USED: Table<(ClientId, KeyId), LastUse> = Table::new("client.keys_used");

pub const KEY_WARNINGS_BY_TIME: &str = "client.key_warnings_by_time";

/// (client, key, days before it expires) → when that is told. Gone when it was.
pub const KEY_WARNINGS: Table<(ClientId, KeyId, u32), KeyWarning> = Table::new("client.key_warnings")
    .with_indexes(&[Index::listing(KEY_WARNINGS_BY_TIME, |_, row| vec![row.at.to_key()])]);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct KeyWarning {
    pub at: Time,
}
row!(KeyWarning);

/// (client, name) → the sealed secret.
pub const SECRETS: Table<(ClientId, String), SecretRow> = Table::new("client.secrets");

/// (client, operation) → what its approval policy says beyond the settings
pub const POLICIES: Table<(ClientId, String), PolicyRow> = Table::new("client.approval_policies");

/// client → looser settings that wait for somebody else to agree
pub const SETTINGS_PROPOSALS: Table<ClientId, SettingsProposal> = Table::new("client.settings_proposals");

pub fn policy_key(client: ClientId, operation: ApprovalOperation) -> (ClientId, String) {
    (client, operation.name().to_owned())
}

pub fn get(tx: &ReadTx, client: ClientId) -> Result<ClientRow> {
    tx.get(&CLIENTS, &client)?.ok_or_else(|| fault!("there is no client {client}"))
}

pub fn all(tx: &ReadTx) -> Result<Vec<Client>> {
    tx.scan(&CLIENTS, Scan::all()).map(|row| row.map(|it| it.1.client)).collect()
}

pub fn by_slug(tx: &ReadTx, slug: &str) -> Result<Option<ClientRow>> {
    Ok(tx.find(&CLIENTS, "client.by_slug", &slug.to_owned())?.map(|it| it.1))
}

pub fn by_external_id(tx: &ReadTx, external_id: &str) -> Result<Option<ClientRow>> {
    Ok(tx.find(&CLIENTS, "client.by_external_id", &external_id.to_owned())?.map(|it| it.1))
}

pub fn key_by_hash(tx: &ReadTx, hash: [u8; 32]) -> Result<Option<(ClientId, ApiKey)>> {
    Ok(tx.find(&KEYS, "client.keys_by_hash", &hash)?.map(|((client, _), row)| (client, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::{input::Metadata, object::Times, principal::Actor},
            id::Id as _,
            money::{Amount, Currency},
            store::{Row as _, codec::golden},
        },
        modules::client::{
            approval::{ApprovalPolicy, Automatic, Committee},
            contract::{ClientMode, Settings},
            model::Proposal,
            model::key::{Previous, tests::key},
        },
    };

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let usd = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let client = Client {
            id: ClientId::from_bytes([1; 16]),
            name: "Northwind".into(),
            slug: "northwind".into(),
            mode: ClientMode::Live,
            is_active: true,
            settings: Settings::for_new_client(ClientMode::Live, usd).unwrap(),
            times: Times::at(at),
        };
        let metadata = Metadata([("tier".to_owned(), "gold".to_owned())].into());
        let row = ClientRow { client, external_id: Some("n-1".into()), metadata };
        golden("client.clients", &row);
        for (release, stored) in [
            ("first", include_str!("../../../tests/golden/rows/client.clients.v1.hex")),
            ("second", include_str!("../../../tests/golden/rows/client.clients.v2.hex")),
        ] {
            let stored = data_encoding::HEXLOWER.decode(stored.trim().as_bytes()).unwrap();
            assert_eq!(ClientRow::decode_row(&stored).unwrap(), row, "what the {release} stored");
        }
        let previous = Some(Previous { hash: [2; 32], valid_until: at });
        let ip_allow_list = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        golden("client.keys", &ApiKey { previous, ip_allow_list, expires_at: Some(at), ..key() });
        golden("client.keys_used", &LastUse { at });
        golden("client.key_warnings", &KeyWarning { at });
        let usd = Amount::new(5_000, usd).unwrap();
        let committee = Some(Committee { members: vec![Actor::Key(KeyId::from_bytes([3; 16]))], role: None });
        let policy = ApprovalPolicy {
            automatic: Automatic::UpTo(usd),
            one_person_up_to: Some(usd),
            approvals: 2,
            committee: committee.clone(),
            revision: 3,
        };
        let proposed = Some(Proposal { policy, by: Actor::System, at });
        let times = Times::at(at);
        let row = PolicyRow {
            approvals: Some(2),
            one_person_up_to: Some(usd),
            committee,
            revision: 3,
            proposed,
            times,
        };
        golden("client.approval_policies", &row);
        let first = include_str!("../../../tests/golden/rows/client.approval_policies.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        let row = PolicyRow { approvals: None, ..row };
        assert_eq!(PolicyRow::decode_row(&first).unwrap(), row, "when only withdrawals took several people");
        let (sealed, set_by) = (vec![1, 2, 3], Actor::Key(KeyId::from_bytes([3; 16])));
        golden("client.secrets", &SecretRow { sealed, set_by, times: Times { version: 2, ..Times::at(at) } });
    }
}
