//! Beneficiaries over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, delete, get, post},
        input::{Metadata, input},
        page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
        principal::UserId,
    },
    clock::Time,
    error::Result,
    store::ReadTx,
};
use crate::modules::withdrawal::{
    contract::BeneficiaryId,
    method::{Line, Method},
    model::Beneficiary,
    repository::{BENEFICIARIES, BENEFICIARIES_BY_USER},
    service::Withdrawals,
};

/// Adds a beneficiary.
#[derive(Debug, utoipa::ToSchema)]
pub struct BeneficiaryIn {
    /// What its user calls it.
    #[schema(value_type = String, max_length = 140)]
    pub label: Line<140>,
    pub method: Method,
    /// Said by keys and staff; a user adds its own.
    pub user_id: Option<UserId>,
    #[schema(value_type = Option<String>, max_length = 255)]
    pub external_id: Option<Line<255>>,
    pub metadata: Metadata,
}
input!(BeneficiaryIn { label, method, user_id, external_id, metadata });

#[derive(Debug)]
pub struct BeneficiaryQuery {
    pub limit: Limit,
    pub cursor: Option<Cursor>,
    pub user_id: Option<UserId>,
    pub created_from: Option<Time>,
    pub created_to: Option<Time>,
}
input!(BeneficiaryQuery { limit, cursor, user_id, created_from, created_to });

/// Where a user may be paid out to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BeneficiaryOut {
    pub id: BeneficiaryId,
    #[schema(value_type = String)]
    pub object: &'static str,
    pub user_id: UserId,
    pub label: String,
    pub method: Method,
    /// It can be paid from this instant on.
    pub ready_at: Time,
    pub external_id: Option<String>,
    pub metadata: Metadata,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: u64,
}

impl From<Beneficiary> for BeneficiaryOut {
    fn from(beneficiary: Beneficiary) -> BeneficiaryOut {
        BeneficiaryOut {
            id: beneficiary.id,
            object: "beneficiary",
            user_id: beneficiary.user,
            label: beneficiary.label,
            method: beneficiary.method,
            ready_at: beneficiary.ready_at,
            external_id: beneficiary.external_id,
            metadata: beneficiary.metadata,
            created_at: beneficiary.created_at,
            updated_at: beneficiary.updated_at,
            version: beneficiary.version,
        }
    }
}

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    let [adding, showing, deleting] = std::array::from_fn(|_| service.clone());
    vec![
        get("/beneficiaries")
            .about("List beneficiaries")
            .own("beneficiaries.view")
            .lists(list),
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
            .writes(move |tx, call| adding.add_beneficiary(tx, call)),
        get("/beneficiaries/{id}")
            .about("Show a beneficiary")
            .own("beneficiaries.view")
            .reads(move |tx, call: &Call<BeneficiaryId>| {
                showing.beneficiary(tx, &call.caller, call.path).map(BeneficiaryOut::from)
            }),
        delete("/beneficiaries/{id}")
            .about("Remove a beneficiary; withdrawals to it go on")
            .own("beneficiaries.delete")
            .versioned()
            .writes(move |tx, call| deleting.delete_beneficiary(tx, call)),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), BeneficiaryQuery>) -> Result<Page<BeneficiaryOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let user = call.caller.limited_to(query.user_id)?;
    let paging = Paging::new(query.limit, &query.cursor, (user, query.created_from, query.created_to));
    let keep = |it: &Beneficiary| created_within(it.created_at, query.created_from, query.created_to);
    let page = match user {
        Some(user) => page_by(tx, &BENEFICIARIES, BENEFICIARIES_BY_USER, &(client, user), &paging, keep)?,
        None => page(tx, &BENEFICIARIES, &client, &paging, keep)?,
    };
    Ok(page.map(|(_, it)| it.into()))
}
