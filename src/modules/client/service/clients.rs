//! Making and changing clients.

use super::{ClientService, CreatedKey, NewKey, inside};
use crate::kernel::api::problem::ApiRefusal;
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Metadata, check_length},
            principal::{ClientId, Scope},
        },
        error::{Result, fault},
        store::WriteTx,
    },
    modules::{
        client::{
            contract::{Client, ClientContract as _, ClientRefusal, Settings},
            events::{ClientActivated, ClientCreated, ClientDeactivated},
            model::{
                ClientRow, check_slug,
                key::KeyKind,
                loosened::{Loosened, SettingsProposal, differ},
            },
            repository::{CLIENTS, SETTINGS_PROPOSALS, by_external_id, by_slug},
            routes::clients::{ClientIn, ClientPatchIn},
        },
        currency::contract::CurrencyRefusal,
    },
};

/// A client just made, and the only sight of its first keys.
pub struct CreatedClient {
    pub row: ClientRow,
    /// May do everything inside the client.
    pub secret: CreatedKey,
    pub publishable: CreatedKey,
}

impl ClientService {
    /// Refuses `slug_taken`, `external_id_taken`, `currency_unknown`.
    pub fn create(&self, tx: &mut WriteTx, caller: &Caller, input: &ClientIn) -> Result<CreatedClient> {
        check_length("name", &input.name, 100)?;
        check_slug(&input.slug)?;
        if by_slug(tx, &input.slug)?.is_some() {
            return Err(ClientRefusal::SlugTaken { slug: input.slug.clone() }.into());
        }
        if let Some(external_id) = &input.external_id {
            check_length("external_id", external_id, 100)?;
            if let Some(other) = by_external_id(tx, external_id)? {
                return Err(ApiRefusal::ExternalIdTaken { existing_id: other.client.id.to_string() }.into());
            }
        }
        let code = input.default_currency;
        let currency = self.currencies.known(tx, code)?;
        let currency = currency.ok_or(CurrencyRefusal::CurrencyUnknown { currency: code })?;
        let mut settings = Settings::for_new_client(input.mode, currency)?;
        if let Some(change) = &input.settings {
            settings = settings.changed(change, currency)?;
        }

        let client = Client {
            id: tx.new_id(),
            name: input.name.clone(),
            slug: input.slug.clone(),
            mode: input.mode,
            is_active: true,
            settings,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        let caller = inside(caller, client.id);
        let external_id = input.external_id.clone();
        let row = ClientRow { client, external_id, metadata: input.metadata.clone() };
        tx.put(&CLIENTS, &row.client.id, &row)?;
        self.currencies.set_up_client(tx, row.client.id, code)?;
        self.roles.set_up_client(tx, &caller, row.client.id)?;
        tx.publish(&caller, &ClientCreated { client_id: row.client.id })?;
        let secret =
            self.create_key(tx, &caller, first_key(KeyKind::Secret, &["*:read", "*:write", "*:approve"])?)?;
        let publishable = self.create_key(tx, &caller, first_key(KeyKind::Publishable, &[])?)?;
        Ok(CreatedClient { row, secret, publishable })
    }

    /// By the client itself, or by an operator: controls are tightened at once, and looser ones wait until somebody else
    /// agrees. Refuses `needs_second_person` to both, of what is loosened with `approval-policies`.
    pub fn change(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        input: &ClientPatchIn,
    ) -> Result<ClientRow> {
        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        caller.check_version(row.client.version)?;
        input.name.as_deref().map_or(Ok(()), |it| check_length("name", it, 100))?;
        let mut settings = row.client.settings.clone();
        if let Some(change) = &input.settings {
            settings = settings.changed(change, self.currencies.default_of(tx, client)?)?;
        }

        self.follow_settings(tx, caller, client, &row.client.settings, &settings)?;
        let loosened = Loosened::take(&row.client.settings, &mut settings);
        if !loosened.is_nothing() {
            let proposal = SettingsProposal { loosened, by: caller.actor(), at: tx.now() };
            tx.put(&SETTINGS_PROPOSALS, &client, &proposal)?;
        } else if differ(&row.client.settings, &settings) {
            tx.delete(&SETTINGS_PROPOSALS, &client)?; // It was looked at beside other settings.
        }
        row.client.name = input.name.clone().unwrap_or(row.client.name);
        row.client.settings = settings;
        row.metadata.merge(input.metadata.clone());
        row.client.updated_at = tx.now();
        row.client.version += 1;
        tx.put(&CLIENTS, &client, &row)?;
        Ok(row)
    }

    /// Agrees to looser settings that somebody else proposed. Refuses `nothing_proposed`, `self_approval`.
    pub fn approve_settings(&self, tx: &mut WriteTx, call: &Call) -> Result<ClientRow> {
        let client = call.caller.client()?;
        let proposal = tx.get(&SETTINGS_PROPOSALS, &client)?.ok_or(ClientRefusal::NothingProposed)?;
        self.check_other(tx, client, &call.caller, proposal.by)?;

        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        row.client.settings = proposal.loosened.applied_to(row.client.settings);
        row.client.updated_at = tx.now();
        row.client.version += 1;
        tx.put(&CLIENTS, &client, &row)?;
        tx.delete(&SETTINGS_PROPOSALS, &client)?;
        Ok(row)
    }

    /// Drops looser settings that were proposed: anybody may who could have agreed, and whoever proposed them. Refuses
    /// `nothing_proposed`.
    pub fn reject_settings(&self, tx: &mut WriteTx, call: &Call) -> Result<ClientRow> {
        let client = call.caller.client()?;
        if !tx.delete(&SETTINGS_PROPOSALS, &client)? {
            return Err(ClientRefusal::NothingProposed.into());
        }
        found(tx.get(&CLIENTS, &client)?)
    }

    /// Doing what was done before changes nothing.
    pub fn set_active(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        is_active: bool,
    ) -> Result<ClientRow> {
        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        if row.client.is_active == is_active {
            return Ok(row);
        }

        row.client.is_active = is_active;
        row.client.updated_at = tx.now();
        row.client.version += 1;
        tx.put(&CLIENTS, &client, &row)?;
        let caller = inside(caller, client);
        match is_active {
            true => tx.publish(&caller, &ClientActivated { client_id: client })?,
            false => tx.publish(&caller, &ClientDeactivated { client_id: client })?,
        };
        Ok(row)
    }
}

fn first_key(kind: KeyKind, scopes: &[&str]) -> Result<NewKey> {
    let scopes = scopes.iter().map(|it| it.parse::<Scope>().map_err(|()| fault!("{it} is no scope")));
    Ok(NewKey {
        kind,
        name: "first".to_owned(),
        scopes: scopes.collect::<Result<_>>()?,
        expires_at: None,
        ip_allow_list: vec![],
        external_id: None,
        metadata: Metadata::default(),
    })
}
