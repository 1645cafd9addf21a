//! Beneficiaries: where users may be paid out to.

use std::time::Duration;

use super::Withdrawals;
use crate::kernel::{
    api::{
        call::Call,
        object::{Stamp, check_external_id},
        principal::ClientId,
    },
    clock::Time,
    error::Result,
    store::{ReadTx, WriteTx},
};
use crate::modules::withdrawal::{
    contract::{BeneficiaryId, WithdrawalRefusal},
    events::{BeneficiaryCreated, BeneficiaryDeleted},
    model::{Beneficiary, Standing},
    repository::{self, BENEFICIARIES, BENEFICIARIES_BY_EXTERNAL_ID},
    routes::{BeneficiaryIn, BeneficiaryOut},
};

impl Withdrawals {
    /// Adds one; it can be paid after the client's cooling time, which begins once its user has confirmed it, where
    /// mail is configured. Refuses `not_found` (the user), `external_id_taken`,
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
        let external_id = input.external_id.as_ref();
        check_external_id(tx, &BENEFICIARIES, BENEFICIARIES_BY_EXTERNAL_ID, client, external_id)?;
        let identity = input.method.identity();
        if let Some(existing_id) = repository::beneficiary_by_method(tx, client, user, identity)? {
            return Err(WithdrawalRefusal::BeneficiaryExists { existing_id }.into());
        }

        let (code, standing) = match self.takes_confirmation(tx, caller, user)? {
            true => {
                let (code, token) = self.mailed_token(tx);
                (Some(code), Standing::Unconfirmed(token))
            }
            false => (None, Standing::ReadyAt(self.cooled(tx, client)?)),
        };
        let beneficiary = Beneficiary {
            id: tx.new_id(),
            user,
            label: String::from(&input.label),
            method: input.method.clone(),
            standing,
            stamp: Stamp::new(tx, external_id, &input.metadata),
        };
        tx.insert(&BENEFICIARIES, &(client, beneficiary.id), &beneficiary)?;
        let event = BeneficiaryCreated {
            beneficiary_id: beneficiary.id,
            user_id: user,
            ready_at: beneficiary.ready_at(),
        };
        tx.publish(caller, &event)?;
        if let Some(code) = code {
            self.ask_to_confirm_beneficiary(tx, caller, &beneficiary, code)?;
        }
        Ok(BeneficiaryOut::of(beneficiary.id, &beneficiary))
    }

    /// When something that counts from now on has cooled.
    pub(super) fn cooled(&self, tx: &WriteTx, client: ClientId) -> Result<Time> {
        let hours = self.clients.get(tx, client)?.settings.withdrawal.beneficiary_cooling_hours;
        Ok(tx.now().after(Duration::from_secs(u64::from(hours) * 3600)))
    }

    pub fn show_beneficiary(&self, tx: &ReadTx, call: &Call<BeneficiaryId>) -> Result<BeneficiaryOut> {
        reached(tx, call).map(|it| BeneficiaryOut::of(it.id, &it))
    }

    /// Removes one and answers with what it was. Withdrawals keep a copy of the method they go to.
    pub fn delete_beneficiary(&self, tx: &mut WriteTx, call: &Call<BeneficiaryId>) -> Result<BeneficiaryOut> {
        let beneficiary = reached(tx, call)?;
        call.caller.check_version(beneficiary.stamp.version)?;

        tx.delete(&BENEFICIARIES, &(call.caller.client()?, beneficiary.id))?;
        let event = BeneficiaryDeleted { beneficiary_id: beneficiary.id, user_id: beneficiary.user };
        tx.publish(&call.caller, &event)?;
        Ok(BeneficiaryOut::of(beneficiary.id, &beneficiary))
    }
}

/// The one named, within the caller's reach. Refuses `not_found`.
fn reached(tx: &ReadTx, call: &Call<BeneficiaryId>) -> Result<Beneficiary> {
    let beneficiary = repository::beneficiary(tx, call.caller.client()?, call.path)?;
    call.caller.may_reach(Some(beneficiary.user))?;
    Ok(beneficiary)
}
