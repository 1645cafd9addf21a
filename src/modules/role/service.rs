//! What can be done with roles.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use super::{
    contract::{RoleContract, RoleId, RoleRefusal},
    events::RolePermissionsChanged,
    model::{BuiltIn, Role, check_name, tidy},
    repository::{BY_EXTERNAL_ID, ROLES, by_name},
    routes::{RoleDeletedOut, RoleIn, RoleOut, RolePatchIn},
};
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        input::{Named as _, check_length},
        object::{Stamp, check_external_id, save},
        principal::{ClientId, is_approving},
    },
    boot::Catalogue,
    error::{Result, fault},
    store::{ReadTx, Scan, WriteTx},
};

pub struct RoleService {
    catalogue: Catalogue,
    /// What each built-in role may do, by its place in `BuiltIn::ALL`; made at first use, when every module has
    /// registered.
    built_in: OnceLock<Vec<Arc<BTreeSet<String>>>>,
}

/// A client's own roles.
impl RoleService {
    pub fn new(catalogue: Catalogue) -> RoleService {
        RoleService { catalogue, built_in: OnceLock::new() }
    }

    /// Refuses `permission_unknown`, `permission_escalation`, `role_taken`, `external_id_taken`.
    pub fn add(&self, tx: &mut WriteTx, call: &Call<(), RoleIn>) -> Result<RoleOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let description = input.description.clone().unwrap_or_default();
        check_name(&input.name)?;
        check_description(&description)?;
        self.check_listable(&call.caller, &input.permissions, &[])?;
        if by_name(tx, client, &input.name)?.is_some() {
            return Err(RoleRefusal::RoleTaken { role: input.name.clone() }.into());
        }
        check_external_id(tx, &ROLES, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let row = Role {
            id: tx.new_id(),
            name: input.name.clone(),
            description,
            built_in: None,
            permissions: tidy(input.permissions.clone()),
            is_in_use: false,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.put(&ROLES, &(client, row.id), &row)?;
        Ok(self.out(&row))
    }

    /// What lets people who have the role decide over what others asked for is not added, but announced: it waits for
    /// a second person (module User). Refuses `role_fixed`, `permission_unknown`, `permission_escalation` (for what is
    /// added or taken away), `role_taken`.
    pub fn change(&self, tx: &mut WriteTx, call: &Call<RoleId, RolePatchIn>) -> Result<RoleOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let mut row = own(tx, client, call.path)?;
        call.caller.check_version(row.stamp.version)?;
        input.name.as_deref().map_or(Ok(()), check_name)?;
        input.description.as_deref().map_or(Ok(()), check_description)?;
        if let Some(permissions) = &input.permissions {
            self.check_listable(&call.caller, permissions, &row.permissions)?;
        }
        if let Some(name) = &input.name
            && by_name(tx, client, name)?.is_some_and(|it| it.id != row.id)
        {
            return Err(RoleRefusal::RoleTaken { role: name.clone() }.into());
        }

        row.name = input.name.clone().unwrap_or(row.name);
        row.description = input.description.clone().unwrap_or(row.description);
        let mut waiting = vec![];
        if let Some(permissions) = input.permissions.clone() {
            let waits = |it: &String| row.is_in_use && is_approving(it) && !row.permissions.contains(it);
            let (wait, now) = tidy(permissions).into_iter().partition(waits);
            (waiting, row.permissions) = (wait, now);
        }
        row.stamp.metadata.merge(input.metadata.clone());
        save(tx, &ROLES, &(client, row.id), &mut row)?;
        if row.is_in_use && input.permissions.is_some() {
            tx.publish(&call.caller, &RolePermissionsChanged { role_id: row.id, waiting })?;
            row = own(tx, client, row.id)?; // What waits for nobody is in it by now.
        }
        Ok(self.out(&row))
    }

    /// Refuses `role_fixed`, `role_in_use`.
    pub fn delete(&self, tx: &mut WriteTx, call: &Call<RoleId>) -> Result<RoleDeletedOut> {
        let client = call.caller.client()?;
        let row = own(tx, client, call.path)?;
        call.caller.check_version(row.stamp.version)?;
        if row.is_in_use {
            return Err(RoleRefusal::RoleInUse { role: row.name }.into());
        }

        tx.delete(&ROLES, &(client, row.id))?;
        Ok(RoleDeletedOut::of(row.id, true))
    }

    pub fn show(&self, tx: &ReadTx, call: &Call<RoleId>) -> Result<RoleOut> {
        found(tx.get(&ROLES, &(call.caller.client()?, call.path))?).map(|row| self.out(&row))
    }

    pub fn out(&self, row: &Role) -> RoleOut {
        RoleOut::of(row.id, row, self.permissions_of(row).iter().cloned().collect())
    }

    /// Everything a role allows.
    pub fn permissions_of(&self, row: &Role) -> Arc<BTreeSet<String>> {
        match row.built_in {
            Some(built_in) => self.of_built_in(built_in),
            None => Arc::new(row.permissions.iter().cloned().collect()),
        }
    }

    fn of_built_in(&self, built_in: BuiltIn) -> Arc<BTreeSet<String>> {
        let catalogue = self.catalogue.get();
        if catalogue.is_empty() {
            return Arc::default(); // Modules are still registering: nothing may be remembered yet.
        }
        let all = || BuiltIn::ALL.iter().map(|it| Arc::new(it.permissions(&catalogue))).collect();
        self.built_in.get_or_init(all)[built_in as usize].clone()
    }

    /// Refuses `permission_unknown`, and `permission_escalation` for what is given or taken that is not the caller's.
    fn check_listable(&self, caller: &Caller, permissions: &[String], before: &[String]) -> Result<()> {
        let catalogue = self.catalogue.get();
        if let Some(unknown) = permissions.iter().find(|it| !catalogue.contains(*it)) {
            return Err(RoleRefusal::PermissionUnknown { permission: unknown.clone() }.into());
        }
        let given = permissions.iter().filter(|it| !before.contains(it));
        let taken = before.iter().filter(|it| !permissions.contains(it) && catalogue.contains(*it));
        check_held(caller, given.chain(taken))
    }
}

impl RoleContract for RoleService {
    fn set_up_client(&self, tx: &mut WriteTx, _caller: &Caller, client: ClientId) -> Result<()> {
        for built_in in BuiltIn::ALL {
            let row = Role {
                id: tx.new_id(),
                name: built_in.name().to_owned(),
                description: built_in.definition().description.clone(),
                built_in: Some(*built_in),
                permissions: vec![],
                is_in_use: true,
                stamp: Stamp::at(tx.now()),
            };
            tx.put(&ROLES, &(client, row.id), &row)?;
        }
        Ok(())
    }

    fn by_name(&self, tx: &ReadTx, client: ClientId, name: &str) -> Result<RoleId> {
        let row = by_name(tx, client, name)?;
        row.map(|it| it.id).ok_or_else(|| RoleRefusal::RoleUnknown { role: name.to_owned() }.into())
    }

    fn names(&self, tx: &ReadTx, client: ClientId, roles: &[RoleId]) -> Result<Vec<String>> {
        roles.iter().map(|it| Ok(given(tx, client, *it)?.name)).collect()
    }

    fn permissions(&self, tx: &ReadTx, client: ClientId, roles: &[RoleId]) -> Result<Arc<BTreeSet<String>>> {
        if let [only] = roles {
            return Ok(self.permissions_of(&given(tx, client, *only)?));
        }
        let mut all = BTreeSet::new();
        for role in roles {
            all.extend(self.permissions_of(&given(tx, client, *role)?).iter().cloned());
        }
        Ok(Arc::new(all))
    }

    fn check_grantable(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        roles: &[RoleId],
    ) -> Result<()> {
        for role in roles {
            let row = tx.get(&ROLES, &(client, *role))?;
            let row = row.ok_or_else(|| RoleRefusal::RoleUnknown { role: role.to_string() })?;
            // Whoever registers has the role `user`: giving it passes on nothing.
            if row.built_in != Some(BuiltIn::User) {
                check_held(caller, self.permissions_of(&row).iter())?;
            }
        }
        Ok(())
    }

    fn approving(&self, tx: &ReadTx, client: ClientId) -> Result<Vec<RoleId>> {
        let mut approving = vec![];
        for row in tx.scan(&ROLES, Scan::prefix(&client)) {
            let ((_, id), row) = row?;
            if self.permissions_of(&row).iter().any(|it| is_approving(it)) {
                approving.push(id);
            }
        }
        Ok(approving)
    }

    fn widen(&self, tx: &mut WriteTx, client: ClientId, role: RoleId, permissions: &[String]) -> Result<()> {
        let mut row = own(tx, client, role)?;
        let catalogue = self.catalogue.get();
        row.permissions.extend(permissions.iter().filter(|it| catalogue.contains(*it)).cloned());
        row.permissions = tidy(row.permissions);
        save(tx, &ROLES, &(client, role), &mut row)
    }

    fn use_role(&self, tx: &mut WriteTx, client: ClientId, role: RoleId) -> Result<()> {
        let mut row = given(tx, client, role)?;
        if !row.is_in_use {
            row.is_in_use = true;
            save(tx, &ROLES, &(client, role), &mut row)?;
        }
        Ok(())
    }
}

/// A role that may be changed. Refuses `role_fixed` for a built-in one.
fn own(tx: &ReadTx, client: ClientId, role: RoleId) -> Result<Role> {
    let row = found(tx.get(&ROLES, &(client, role))?)?;
    if row.built_in.is_some() {
        return Err(RoleRefusal::RoleFixed { role: row.name }.into());
    }
    Ok(row)
}

/// A role in use: such a role is never deleted.
fn given(tx: &ReadTx, client: ClientId, role: RoleId) -> Result<Role> {
    tx.get(&ROLES, &(client, role))?.ok_or_else(|| fault!("{client} has no role {role}, which somebody has"))
}

/// Refuses `permission_escalation` with the first permission the caller does not hold.
fn check_held<'a>(caller: &Caller, mut permissions: impl Iterator<Item = &'a String>) -> Result<()> {
    let missing = permissions.find(|it| !caller.principal.grants.has(it));
    missing.map_or(Ok(()), |it| Err(RoleRefusal::PermissionEscalation { permission: it.clone() }.into()))
}

fn check_description(description: &str) -> Result<()> {
    if description.is_empty() { Ok(()) } else { check_length("description", description, 200) }
}
