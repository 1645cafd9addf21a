//! Making, replacing and revoking API keys.

use std::time::Duration;

use super::{ClientService, expiry::plan_warnings};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Flaw, Metadata, check_length},
            object::{ExternalId, Times, check_external_id, save},
            principal::{Actor, ClientId, Grants, KeyId, Scope},
        },
        clock::Time,
        error::Result,
        events::event::Envelope,
        secret::make_token,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        client::{
            contract::ClientRefusal,
            events::{ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated},
            model::key::{AllowedNetwork, ApiKey, KeyKind, KeyStatus, Previous},
            repository::{self, KEYS, KEYS_BY_EXTERNAL_ID},
            routes::keys::{ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut, RotateIn},
        },
        role::contract::RoleRefusal,
        user::events::UserDisabled,
    },
};

/// How long a replaced text opens unless said otherwise: a day to deploy the new one.
const GRACE_S: u64 = 24 * 3600;
const MOST_GRACE_S: u64 = 30 * 24 * 3600;
/// How many scopes, and how many networks, one key may have.
const MOST_ENTRIES: usize = 100;

/// A key to be made.
pub struct NewKey {
    pub kind: KeyKind,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Time>,
    pub ip_allow_list: Vec<AllowedNetwork>,
    pub external_id: Option<ExternalId>,
    pub metadata: Metadata,
}

/// A key just made or replaced, and the only sight of its text.
pub struct CreatedKey {
    pub key: ApiKey,
    pub token: String,
}

impl ClientService {
    pub fn add_key(&self, tx: &mut WriteTx, call: &Call<(), ApiKeyIn>) -> Result<ApiKeyCreatedOut> {
        let input = &call.input;
        let new = NewKey {
            kind: input.kind.unwrap_or(KeyKind::Secret),
            name: input.name.clone(),
            scopes: input.scopes.clone().unwrap_or_default(),
            expires_at: input.expires_at,
            ip_allow_list: input.ip_allow_list.clone().unwrap_or_default(),
            external_id: input.external_id.clone(),
            metadata: input.metadata.clone(),
        };
        let CreatedKey { key, token } = self.create_key(tx, &call.caller, new)?;
        Ok(ApiKeyCreatedOut::of(key.kind, self.key_out(tx, call.caller.client()?, &key)?, token))
    }

    /// Makes a key of the client `caller` acts in. Refuses `key_scopes`, `permission_escalation`,
    /// `external_id_taken`.
    pub fn create_key(&self, tx: &mut WriteTx, caller: &Caller, new: NewKey) -> Result<CreatedKey> {
        let client = caller.client()?;
        check_length("name", &new.name, 100)?;
        for (param, length) in [("scopes", new.scopes.len()), ("ip_allow_list", new.ip_allow_list.len())] {
            if length > MOST_ENTRIES {
                let message = format!("must have at most {MOST_ENTRIES} entries");
                return Err(Flaw::new(param, "out_of_range", message).into());
            }
        }
        if new.expires_at.is_some_and(|it| it <= tx.now()) {
            return Err(Flaw::new("expires_at", "out_of_range", "must be in the future").into());
        }
        self.check_scopes(new.kind, &new.scopes)?;
        self.check_escalation(caller, &new.scopes)?;
        check_external_id(tx, &KEYS, KEYS_BY_EXTERNAL_ID, client, new.external_id.as_ref())?;
        let mode = repository::get(tx, client)?.client.mode;

        let holders = held_by(tx, client, caller.actor())?;
        let prefix = new.kind.prefix(mode);
        let token = make_token(prefix, tx.random_bytes());
        let key = ApiKey {
            id: tx.new_id(),
            kind: new.kind,
            name: new.name,
            scopes: new.scopes,
            hash: self.secrets.hash(&token),
            previous: None,
            prefix: prefix.to_owned(),
            last4: last4(&token),
            expires_at: new.expires_at,
            ip_allow_list: new.ip_allow_list,
            external_id: new.external_id.map(|it| it.0),
            metadata: new.metadata,
            created_by: caller.actor(),
            holders,
            rotated_at: None,
            revoked_at: None,
            times: Times::at(tx.now()),
        };
        tx.put(&KEYS, &(client, key.id), &key)?;
        plan_warnings(tx, client, &key)?;
        tx.publish(caller, &ApiKeyCreated { key_id: key.id })?;
        Ok(CreatedKey { key, token })
    }

    /// Gives a key a new text. The old one opens for `grace_s` more seconds; one that was replaced before it stops at
    /// once. Refuses `key_revoked`, `key_expired`, `permission_escalation`.
    pub fn rotate_key(&self, tx: &mut WriteTx, call: &Call<KeyId, RotateIn>) -> Result<ApiKeyCreatedOut> {
        let client = call.caller.client()?;
        let mut key = found(tx.get(&KEYS, &(client, call.path))?)?;
        let grace_s = call.input.grace_s.unwrap_or(GRACE_S);
        if grace_s > MOST_GRACE_S {
            let message = format!("must be at most {MOST_GRACE_S}");
            return Err(Flaw::new("grace_s", "out_of_range", message).into());
        }
        match (key.status(tx.now()), key.expires_at) {
            (KeyStatus::Revoked, _) => return Err(ClientRefusal::KeyRevoked.into()),
            (KeyStatus::Expired, Some(expired_at)) => {
                return Err(ClientRefusal::KeyExpired { expired_at }.into());
            }
            _ => {}
        }
        // Whoever gets the new text may do what the key may do.
        self.check_escalation(&call.caller, &key.scopes)?;
        let shown_to = held_by(tx, client, call.caller.actor())?;

        let token = make_token(&key.prefix, tx.random_bytes());
        let valid_until = tx.now().after(Duration::from_secs(grace_s));
        key.previous = (grace_s > 0).then_some(Previous { hash: key.hash, valid_until });
        key.hash = self.secrets.hash(&token);
        key.last4 = last4(&token);
        key.holders.extend(shown_to);
        key.holders = without_repeats(std::mem::take(&mut key.holders));
        key.rotated_at = Some(tx.now());
        save(tx, &KEYS, &(client, call.path), &mut key)?;
        tx.publish(&call.caller, &ApiKeyRotated { key_id: key.id, grace_s })?;
        Ok(ApiKeyCreatedOut::of(key.kind, self.key_out(tx, client, &key)?, token))
    }

    /// Stops a key, old text included, at once and for ever. Doing so twice changes nothing. Refuses
    /// `permission_escalation`; a key may always revoke itself.
    pub fn revoke_key(&self, tx: &mut WriteTx, call: &Call<KeyId>) -> Result<ApiKeyOut> {
        let client = call.caller.client()?;
        let mut key = found(tx.get(&KEYS, &(client, call.path))?)?;
        if call.caller.actor() != Actor::Key(key.id) {
            self.check_escalation(&call.caller, &key.scopes)?;
        }
        if key.revoked_at.is_some() {
            return self.key_out(tx, client, &key);
        }

        key.revoked_at = Some(tx.now());
        key.previous = None;
        save(tx, &KEYS, &(client, call.path), &mut key)?;
        tx.publish(&call.caller, &ApiKeyRevoked { key_id: key.id })?;
        self.key_out(tx, client, &key)
    }

    /// Somebody was disabled: no key whose text that person was shown opens anything any more, or they would go on, and
    /// enable themselves, through it.
    pub fn revoke_keys_of(&self, tx: &mut WriteTx, envelope: &Envelope, event: UserDisabled) -> Result<()> {
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let mut shown = vec![];
        for row in tx.scan(&KEYS, Scan::prefix(&client)) {
            let (key, row) = row?;
            if row.revoked_at.is_none() && row.holders.contains(&Actor::User(event.user_id)) {
                shown.push((key, row));
            }
        }
        for (key, mut row) in shown {
            (row.revoked_at, row.previous) = (Some(tx.now()), None);
            save(tx, &KEYS, &key, &mut row)?;
            tx.publish(&caller, &ApiKeyRevoked { key_id: row.id })?;
        }
        Ok(())
    }

    /// The key that asks.
    pub fn current_key(&self, tx: &ReadTx, call: &Call) -> Result<ApiKeyOut> {
        let client = call.caller.client()?;
        let key = match call.caller.actor() {
            Actor::Key(id) => tx.get(&KEYS, &(client, id))?,
            _ => None,
        };
        self.key_out(tx, client, &found(key)?)
    }

    pub fn key_out(&self, tx: &ReadTx, client: ClientId, key: &ApiKey) -> Result<ApiKeyOut> {
        Ok(ApiKeyOut::of(key.id, key, tx.now(), self.last_use(tx, client, key.id)?))
    }

    fn check_scopes(&self, kind: KeyKind, scopes: &[Scope]) -> Result<()> {
        let refused = |reason: &str| Err(ClientRefusal::KeyScopes { reason: reason.to_owned() }.into());
        match kind {
            KeyKind::Publishable if !scopes.is_empty() => refused("a publishable key has no scopes"),
            KeyKind::Secret if scopes.is_empty() => refused("a secret key has at least one scope"),
            _ => {
                let catalogue = self.catalogue.get();
                let exists = |scope: &Scope| {
                    let of = |it: &String| it.split_once('.').is_some_and(|it| it.0 == scope.resource());
                    scope.resource() == "*" || catalogue.iter().any(of)
                };
                match scopes.iter().find(|it| !exists(it)) {
                    Some(unknown) => refused(&format!("no permission is about {}", unknown.resource())),
                    None => Ok(()),
                }
            }
        }
    }

    /// Refuses `permission_escalation` when the scopes allow something the caller may not do.
    fn check_escalation(&self, caller: &Caller, scopes: &[Scope]) -> Result<()> {
        let (wanted, held) = (Grants::Scopes(scopes.into()), &caller.principal.grants);
        let catalogue = self.catalogue.get();
        match catalogue.iter().find(|it| wanted.has(it) && !held.has(it)) {
            Some(missing) => Err(RoleRefusal::PermissionEscalation { permission: missing.clone() }.into()),
            None => Ok(()),
        }
    }
}

/// Who may stand behind an actor: itself, and everybody who was shown its text when it is a key. Nobody stands behind
/// the system.
pub(super) fn held_by(tx: &ReadTx, client: ClientId, actor: Actor) -> Result<Vec<Actor>> {
    let mut holders = match actor {
        Actor::System => return Ok(vec![]),
        Actor::Operator(_) | Actor::User(_) => vec![],
        Actor::Key(id) => tx.get(&KEYS, &(client, id))?.map(|it| it.holders).unwrap_or_default(),
    };
    holders.push(actor);
    Ok(without_repeats(holders))
}

/// Each once, in the order of their first appearance.
fn without_repeats(actors: Vec<Actor>) -> Vec<Actor> {
    let mut seen = std::collections::HashSet::new();
    actors.into_iter().filter(|it| seen.insert(*it)).collect()
}

/// Of the checksum, so it says next to nothing about the key.
fn last4(token: &str) -> String {
    token.chars().skip(token.len().saturating_sub(4)).collect()
}
