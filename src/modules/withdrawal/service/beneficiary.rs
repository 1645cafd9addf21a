//! Beneficiaries: where users may be paid out to.

use std::time::Duration;

use super::Withdrawals;
use crate::kernel::api::problem::ApiRefusal;
use crate::kernel::{
    api::call::{Call, Caller},
    error::Result,
    store::{ReadTx, WriteTx},
};
use crate::modules::withdrawal::{
    contract::{BeneficiaryId, WithdrawalRefusal},
    events::{BeneficiaryCreated, BeneficiaryDeleted},
    model::Beneficiary,
    repository::{self, BENEFICIARIES},
    routes::{BeneficiaryIn, BeneficiaryOut},
};

impl Withdrawals {
    /// Adds one; it can be paid after the client's cooling time. Refuses `not_found` (the user), `external_id_taken`,
    /// `beneficiary_exists`.
    pub fn add_beneficiary(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), BeneficiaryIn>,
    ) -> Result<BeneficiaryOut> {
        let (caller, input) = (&call.caller, &call.input);
        let client = caller.client()?;
        let user = caller.acting_for(input.user_id)?;
        self.users.get(tx, client, user)?;
        let external_id = input.external_id.as_ref().map(|it| it.0.clone());
        if let Some(external_id) = &external_id
            && let Some(existing_id) = repository::beneficiary_by_external_id(tx, client, external_id)?
        {
            return Err(ApiRefusal::ExternalIdTaken { existing_id: existing_id.to_string() }.into());
        }
        let identity = input.method.identity();
        if let Some(existing_id) = repository::beneficiary_by_method(tx, client, user, identity)? {
            return Err(WithdrawalRefusal::BeneficiaryExists { existing_id }.into());
        }

        let now = tx.now();
        let hours = self.clients.get(tx, client)?.settings.withdrawal.beneficiary_cooling_hours;
        let beneficiary = Beneficiary {
            id: tx.new_id(),
            user,
            label: input.label.0.clone(),
            method: input.method.clone(),
            ready_at: now.after(Duration::from_secs(u64::from(hours) * 3600)),
            external_id,
            metadata: input.metadata.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        tx.insert(&BENEFICIARIES, &(client, beneficiary.id), &beneficiary)?;
        let event = BeneficiaryCreated {
            beneficiary_id: beneficiary.id,
            user_id: user,
            ready_at: beneficiary.ready_at,
        };
        tx.publish(caller, &event)?;
        Ok(beneficiary.into())
    }

    pub fn beneficiary(&self, tx: &ReadTx, caller: &Caller, id: BeneficiaryId) -> Result<Beneficiary> {
        let beneficiary = repository::beneficiary(tx, caller.client()?, id)?;
        caller.may_reach(Some(beneficiary.user))?;
        Ok(beneficiary)
    }

    /// Removes one and answers with what it was. Withdrawals keep a copy of the method they go to.
    pub fn delete_beneficiary(&self, tx: &mut WriteTx, call: &Call<BeneficiaryId>) -> Result<BeneficiaryOut> {
        let beneficiary = self.beneficiary(tx, &call.caller, call.path)?;
        call.caller.check_version(beneficiary.version)?;

        tx.delete(&BENEFICIARIES, &(call.caller.client()?, beneficiary.id))?;
        let event = BeneficiaryDeleted { beneficiary_id: beneficiary.id, user_id: beneficiary.user };
        tx.publish(&call.caller, &event)?;
        Ok(beneficiary.into())
    }
}
