//! Making and changing clients.

use super::{ClientService, inside, keys::NewKey};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Metadata, check_length},
            object::{Times, save},
            principal::{ClientId, Scope},
            problem::ApiRefusal,
        },
        error::{Result, fault},
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::{
            contract::{
                Client, ClientContract as _, ClientRefusal, ProposalDecisionIn, Settings, check_revision,
                revision_of,
            },
            events::{ClientActivated, ClientCreated, ClientDeactivated},
            model::{
                ClientRow, check_slug,
                key::KeyKind,
                loosened::{Loosened, SettingsProposal, differ},
            },
            repository::{CLIENTS, SETTINGS_PROPOSALS, by_external_id, by_slug},
            routes::clients::{ClientCreatedOut, ClientIn, ClientOut, ClientPatchIn, SettingsProposalOut},
        },
        currency::contract::CurrencyRefusal,
    },
};

impl ClientService {
    /// Refuses `slug_taken`, `external_id_taken`, `currency_unknown`.
    pub fn create(&self, tx: &mut WriteTx, call: &Call<(), ClientIn>) -> Result<ClientCreatedOut> {
        let input = &call.input;
        check_length("name", &input.name, 100)?;
        check_slug(&input.slug)?;
        if by_slug(tx, &input.slug)?.is_some() {
            return Err(ClientRefusal::SlugTaken { slug: input.slug.clone() }.into());
        }
        if let Some(external_id) = &input.external_id
            && let Some(other) = by_external_id(tx, external_id.as_str())?
        {
            return Err(ApiRefusal::ExternalIdTaken { existing_id: other.client.id.to_string() }.into());
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
            times: Times::at(tx.now()),
        };
        let caller = inside(&call.caller, client.id);
        let external_id = input.external_id.clone().map(|it| it.0);
        let row = ClientRow { client, external_id, metadata: input.metadata.clone() };
        tx.put(&CLIENTS, &row.client.id, &row)?;
        self.currencies.set_up_client(tx, row.client.id, code)?;
        self.roles.set_up_client(tx, &caller, row.client.id)?;
        tx.publish(&caller, &ClientCreated { client_id: row.client.id })?;
        let secret =
            self.create_key(tx, &caller, first_key(KeyKind::Secret, &["*:read", "*:write", "*:approve"])?)?;
        let publishable = self.create_key(tx, &caller, first_key(KeyKind::Publishable, &[])?)?;
        Ok(ClientCreatedOut {
            client: self.out(tx, &row)?,
            secret_key: secret.token,
            publishable_key: publishable.token,
        })
    }

    /// By the client itself, or by an operator: controls are tightened at once, and looser ones wait until somebody else
    /// agrees. Refuses `needs_second_person` to both, of what is loosened with `approval-policies`.
    pub fn change(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        input: &ClientPatchIn,
    ) -> Result<ClientOut> {
        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        caller.check_version(row.client.times.version)?;
        input.name.as_deref().map_or(Ok(()), |it| check_length("name", it, 100))?;
        let mut settings = row.client.settings.clone();
        if let Some(change) = &input.settings {
            settings = settings.changed(change, self.currencies.default_of(tx, client)?)?;
        }

        self.follow_settings(tx, caller, client, &row.client.settings, &settings)?;
        let loosened = Loosened::take(&row.client.settings, &mut settings);
        if !loosened.is_nothing() {
            let revision = revision_of(row.client.times.version + 1);
            let proposal = SettingsProposal { loosened, by: caller.actor(), at: tx.now(), revision };
            tx.put(&SETTINGS_PROPOSALS, &client, &proposal)?;
        } else if differ(&row.client.settings, &settings) {
            tx.delete(&SETTINGS_PROPOSALS, &client)?; // It was looked at beside other settings.
        }
        row.client.name = input.name.clone().unwrap_or(row.client.name);
        row.client.settings = settings;
        row.metadata.merge(input.metadata.clone());
        save(tx, &CLIENTS, &client, &mut row)?;
        self.out(tx, &row)
    }

    /// Agrees to looser settings that somebody else proposed. Refuses `nothing_proposed`, `self_approval`,
    /// `revision_stale`.
    pub fn approve_settings(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), ProposalDecisionIn>,
    ) -> Result<ClientOut> {
        let client = call.caller.client()?;
        let proposal = tx.get(&SETTINGS_PROPOSALS, &client)?.ok_or(ClientRefusal::NothingProposed)?;
        self.check_other(tx, client, &call.caller, proposal.by)?;
        check_revision(proposal.revision, call.input.revision)?;

        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        row.client.settings = proposal.loosened.applied_to(row.client.settings);
        save(tx, &CLIENTS, &client, &mut row)?;
        tx.delete(&SETTINGS_PROPOSALS, &client)?;
        self.out(tx, &row)
    }

    /// Drops looser settings that were proposed: anybody may who could have agreed, and whoever proposed them. Refuses
    /// `nothing_proposed`, `revision_stale`.
    pub fn reject_settings(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), ProposalDecisionIn>,
    ) -> Result<ClientOut> {
        let client = call.caller.client()?;
        let proposal = tx.get(&SETTINGS_PROPOSALS, &client)?.ok_or(ClientRefusal::NothingProposed)?;
        check_revision(proposal.revision, call.input.revision)?;

        tx.delete(&SETTINGS_PROPOSALS, &client)?;
        self.show(tx, client)
    }

    /// Doing what was done before changes nothing.
    pub fn set_active(&self, tx: &mut WriteTx, call: &Call<ClientId>, is_active: bool) -> Result<ClientOut> {
        let client = call.path;
        let mut row = found(tx.get(&CLIENTS, &client)?)?;
        if row.client.is_active == is_active {
            return self.out(tx, &row);
        }

        row.client.is_active = is_active;
        save(tx, &CLIENTS, &client, &mut row)?;
        let caller = inside(&call.caller, client);
        match is_active {
            true => tx.publish(&caller, &ClientActivated { client_id: client })?,
            false => tx.publish(&caller, &ClientDeactivated { client_id: client })?,
        };
        self.out(tx, &row)
    }

    pub fn show(&self, tx: &ReadTx, client: ClientId) -> Result<ClientOut> {
        self.out(tx, &found(tx.get(&CLIENTS, &client)?)?)
    }

    pub fn out(&self, tx: &ReadTx, row: &ClientRow) -> Result<ClientOut> {
        let client = &row.client;
        let proposed = tx.get(&SETTINGS_PROPOSALS, &client.id)?.map(|it| {
            let settings = it.loosened.applied_to(client.settings.clone());
            SettingsProposalOut {
                currencies: settings.currencies(),
                settings,
                proposed_by: it.by,
                proposed_at: it.at,
                revision: it.revision,
            }
        });
        Ok(ClientOut::of(client.id, row, self.default_currency(tx, client.id)?.code, proposed))
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
