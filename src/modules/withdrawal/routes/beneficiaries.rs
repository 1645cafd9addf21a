//! Beneficiaries over HTTP.

use std::sync::Arc;

use serde_json::json;

use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, delete, get, post},
        input::{Metadata, input, text_enum},
        object::{ExternalId, filters, list, object},
        principal::UserId,
        text::Line,
    },
    clock::Time,
};
use crate::modules::withdrawal::{
    contract::BeneficiaryId,
    method::Method,
    model::Beneficiary,
    repository::{BENEFICIARIES, BENEFICIARIES_BY_USER},
    service::{Withdrawals, confirm::Guess},
};

input! {
    /// Adds a beneficiary.
    #[derive(Debug)]
    pub struct BeneficiaryIn {
        /// What its user calls it.
        label: Line<140>,
        method: Method,
        /// Said by keys and staff; a user adds its own.
        user_id: Option<UserId>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

text_enum! {
    /// Whether a beneficiary is one.
    pub enum BeneficiaryStatus {
        /// Its user is to confirm it, with what was mailed.
        Unconfirmed = "unconfirmed",
        Confirmed = "confirmed",
    }
}

filters! {
    pub struct BeneficiaryQuery of Beneficiary, owned by user {}
}

object! {
    /// Where a user may be paid out to.
    #[derive(Debug)]
    pub struct BeneficiaryOut: "beneficiary" of (id: BeneficiaryId, row: &Beneficiary) {
        user_id: UserId = row.user,
        label: String = row.label.clone(),
        method: Method = row.method.clone(),
        status: BeneficiaryStatus = if row.ready_at().is_some() {
            BeneficiaryStatus::Confirmed
        } else {
            BeneficiaryStatus::Unconfirmed
        },
        /// It can be paid from this instant on; null until its user has confirmed it.
        ready_at: Option<Time> = row.ready_at(),
        /// Until when its user has to confirm it: otherwise it is removed.
        confirm_by: Option<Time> = row.confirm_by(),
    }
}

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    let [guessing, confirming] = std::array::from_fn(|_| service.clone());
    vec![
        get("/beneficiaries").about("List beneficiaries").own("beneficiaries.view").lists(
            |tx, call: &Call<(), BeneficiaryQuery>| {
                let page = list(tx, call, &BENEFICIARIES, Some(BENEFICIARIES_BY_USER))?;
                Ok(page.map(|(_, it)| BeneficiaryOut::of(it.id, &it)))
            },
        ),
        post("/beneficiaries")
            .about("Add a beneficiary; it can be paid after the client's cooling time")
            .own("beneficiaries.create")
            .refuses(&["external_id_taken", "beneficiary_exists"])
            .example(json!({
                "label": "My account",
                "user_id": "usr_01jdg3h5v8xkq2m4n6p8r0s2t4",
                "method": {
                    "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                },
            }))
            .writes_with(service, Withdrawals::add_beneficiary),
        get("/beneficiaries/{id}")
            .about("Show a beneficiary")
            .own("beneficiaries.view")
            .reads_with(service, Withdrawals::show_beneficiary),
        post("/beneficiaries/{id}/confirm")
            .about("Confirm a beneficiary with the token from the mail; its cooling time begins")
            .signed_in()
            .refuses(&["owner_confirms", "beneficiary_confirmed", "email_changed_lately", "mail_token_gone"])
            .example(json!({ "token": "cfm_…" }))
            .prepares(
                move |kernel, call| {
                    let guessing = guessing.clone();
                    async move {
                        kernel.store.write(move |tx| guessing.guess_beneficiary(tx, &call)).await
                    }
                },
                move |tx, call, guess: Guess| confirming.confirm_beneficiary(tx, call, guess),
            ),
        delete("/beneficiaries/{id}")
            .about("Remove a beneficiary; withdrawals to it go on")
            .own("beneficiaries.delete")
            .versioned()
            .writes_with(service, Withdrawals::delete_beneficiary),
    ]
}
