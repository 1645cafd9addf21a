//! The operations of users.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{PasswordFor, UserOut, UserStatus, check_password},
    fields::{Email, PersonName, Phone, Tier, normalise_email},
    model::UserEvent::{Disable, Enable, Freeze, Unfreeze},
    repository::{BY_WORD, USERS, UserRow, WordBeginsWith},
    service::Users,
};
use crate::kernel::{
    api::{
        call::{Call, Reach},
        endpoint::{Endpoint, get, patch, post, put},
        input::{Metadata, input},
        object::{ExternalId, Filters as _, filters, list},
        page::{Page, page_in_order},
        principal::UserId,
        text::{ReasonIn, Text},
    },
    boot::Kernel,
    error::Result,
    password,
    store::ReadTx,
};

input! {
    pub struct NewUserIn {
        email: Email,
        first_name: PersonName,
        last_name: PersonName,
        phone: Option<Phone>,
        /// Without one the user cannot sign in.
        password: Option<String>,
        /// Names of roles; `user` unless given. Nobody can give more than they have.
        roles: Option<Vec<String>>,
        /// The code of the user who brought this one.
        referral_code: Option<String>,
        /// The user who brought this one, instead of its code.
        referred_by: Option<UserId>,
        /// Decides over fees and limits; `standard` unless given. Takes what changing a user takes.
        tier: Option<Tier>,
        /// Of somebody who is known from elsewhere: `frozen` or `disabled` from the first instant on. Takes what
        /// freezing, or disabling, takes.
        status: Option<UserStatus>,
        /// Why it is not active from the beginning.
        reason: Option<Text<500>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// What is left out stays. Users change their own names, telephone number and address, staff the rest too.
    pub struct UpdateUserIn {
        /// Holds once it is confirmed with what is mailed there; the one it has ends what was asked for.
        email: Option<Email>,
        first_name: Option<PersonName>,
        last_name: Option<PersonName>,
        /// Empty removes it.
        phone: Option<Phone>,
        /// Decides over fees and limits. One with more, or for less, waits until somebody else agrees.
        tier: Option<Tier>,
        metadata: Metadata,
    }
}

input! {
    pub struct UserRolesIn {
        /// All the roles the user has from now on, by name.
        roles: Vec<String>,
    }
}

filters! {
    pub struct UsersQuery of UserRow {
        /// The beginning of an e-mail address, of a name, of a last name or of an external id, or an id; the list is
        /// then in the order of what begins with it.
        q: String = |_row, _q| true, // Decides which rows are looked at: see `list`.
        status: UserStatus = |it| it.status(),
    }
}

/// How many users there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UserStatisticsOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    pub total: u64,
    pub active: u64,
    pub frozen: u64,
    pub disabled: u64,
    /// One of these is always left.
    pub active_admins: u64,
}

pub fn endpoints(users: &Arc<Users>) -> Vec<Endpoint> {
    let creating = users.clone();
    let mut endpoints = vec![
        get("/users").about("List users").needs("users.view_any").lists_with(users, listed),
        get("/users/statistics")
            .about("Count users by status")
            .needs("users.view_any")
            .reads_with(users, Users::statistics),
        get("/users/{id}").about("Show a user").own("users.view").reads_with(users, Users::one),
        post("/users")
            .about("Make a user")
            .needs("users.create_any")
            .further(&["users.update_any", "users.freeze", "users.disable"])
            .refuses(&[
                "email_taken",
                "external_id_taken",
                "permission_escalation",
                "referral_unknown",
                "role_unknown",
                "self_referral",
            ])
            .example(json!({
                "email": "ann@example.com", "first_name": "Ann", "last_name": "Smith", "phone": "+43 660 1234567",
            }))
            .prepares(hash_password, move |tx, call, hash| creating.create_by_staff(tx, call, hash)),
        patch("/users/{id}")
            .about("Change a user's particulars; a tier with more, or for less, waits until somebody else agrees")
            .own("users.update")
            .versioned()
            .refuses(&["email_taken", "mail_not_configured", "permission_escalation"])
            .example(json!({ "first_name": "Anna", "phone": "+43 660 7654321" }))
            .writes_with(users, Users::update),
        post("/users/{id}/tier/approve")
            .about("Agree to a tier that somebody else proposed for a user")
            .needs("users.approve")
            .refuses(&["nothing_proposed", "self_approval", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(users, Users::approve_tier),
        post("/users/{id}/tier/reject")
            .about("Drop a tier that was proposed for a user")
            .needs("users.reject")
            .refuses(&["nothing_proposed", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(users, Users::reject_tier),
        put("/users/{id}/roles")
            .about("Replace a user's roles")
            .needs("users.assign_roles")
            .versioned()
            .refuses(&["role_unknown", "permission_escalation", "last_admin"])
            .example(json!({ "roles": ["user", "moderator"] }))
            .writes_with(users, Users::set_roles),
    ];
    for (event, path, permission, about) in [
        (
            Freeze,
            "/users/{id}/freeze",
            "users.freeze",
            "End a user's sessions, and stop money from leaving its accounts",
        ),
        (Unfreeze, "/users/{id}/unfreeze", "users.unfreeze", "End a freeze"),
        (Disable, "/users/{id}/disable", "users.disable", "End a user's sessions and let it in no more"),
        (Enable, "/users/{id}/enable", "users.enable", "Let a disabled user in again"),
    ] {
        let users = users.clone();
        let endpoint = post(path)
            .about(about)
            .needs(permission)
            .refuses(&["permission_escalation", "invalid_state_transition", "last_admin"])
            .example(json!({ "reason": "asked for by the customer" }))
            .writes(move |tx, call: &Call<UserId, ReasonIn>| users.change_status(tx, call, event));
        endpoints.push(endpoint);
    }
    endpoints
}

fn listed(users: &Users, tx: &ReadTx, call: &Call<(), UsersQuery>) -> Result<Page<UserOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let rows = match &query.q {
        None => list(tx, call, &USERS, None)?,
        Some(q) => match q.trim().parse::<UserId>() {
            Ok(id) => {
                let row = tx.get(&USERS, &(client, id))?.filter(|it| query.keeps(it));
                Page::whole(row.map(|it| ((client, id), it)).into_iter().collect())
            }
            Err(_) => {
                let beginning = WordBeginsWith(client, normalise_email(q));
                page_in_order(tx, &USERS, BY_WORD, &beginning, &query.paging(None), |it| query.keeps(it))?
            }
        },
    };
    rows.try_map(|((_, id), row)| users.out(tx, client, id, row, Reach::Any))
}

/// The hash of the password, when there is one.
async fn hash_password(kernel: Arc<Kernel>, call: Arc<Call<(), NewUserIn>>) -> Result<Option<String>> {
    let input = &call.input;
    let Some(password) = &input.password else {
        return Ok(None);
    };
    let whose = PasswordFor {
        email: input.email.as_str(),
        first_name: input.first_name.as_str(),
        last_name: input.last_name.as_str(),
    };
    check_password("password", password, kernel.config.auth.password_min_length, whose)?;
    password::hash(password.clone()).await.map(Some)
}
