//! The operations of users.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{PasswordFor, UserOut, UserStatus, check_password},
    fields::{Email, PersonName, Phone, Reason, Tier, normalise_email},
    model::UserEvent,
    repository::{BY_WORD, USERS, UserRow, WordBeginsWith},
    service::Users,
};
use crate::kernel::{
    api::{
        call::{Call, Reach},
        endpoint::{Endpoint, get, patch, post, put},
        input::{Metadata, input},
        object::ExternalId,
        page::{Cursor, Limit, Page, Paging, created_within, page, page_in_order},
        principal::UserId,
    },
    boot::Kernel,
    clock::Time,
    error::Result,
    password,
    store::ReadTx,
};

#[derive(utoipa::ToSchema)]
pub struct NewUserIn {
    pub email: Email,
    pub first_name: PersonName,
    pub last_name: PersonName,
    pub phone: Option<Phone>,
    /// Without one the user cannot sign in.
    pub password: Option<String>,
    /// Names of roles; `user` unless given. Nobody can give more than they have.
    pub roles: Option<Vec<String>>,
    /// The code of the user who brought this one.
    pub referral_code: Option<String>,
    pub external_id: Option<ExternalId>,
    pub metadata: Metadata,
}
input!(NewUserIn {
    email,
    first_name,
    last_name,
    phone,
    password,
    roles,
    referral_code,
    external_id,
    metadata
});

/// What is left out stays. Users change their own names and telephone number, staff the rest too.
#[derive(utoipa::ToSchema)]
pub struct UpdateUserIn {
    pub email: Option<Email>,
    pub first_name: Option<PersonName>,
    pub last_name: Option<PersonName>,
    /// Empty removes it.
    pub phone: Option<Phone>,
    /// Decides over fees and limits.
    pub tier: Option<Tier>,
    pub metadata: Metadata,
}
input!(UpdateUserIn { email, first_name, last_name, phone, tier, metadata });

#[derive(utoipa::ToSchema)]
pub struct UserReasonIn {
    pub reason: Reason,
}
input!(UserReasonIn { reason });

#[derive(utoipa::ToSchema)]
pub struct UserRolesIn {
    /// All the roles the user has from now on, by name.
    pub roles: Vec<String>,
}
input!(UserRolesIn { roles });

pub struct UsersQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    /// The beginning of an e-mail address, of a name, of a last name or of an external id, or an id; the list is then in
    /// the order of what begins with it.
    q: Option<String>,
    status: Option<UserStatus>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(UsersQuery { limit, cursor, q, status, created_from, created_to });

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
    let service = || users.clone();
    let mut endpoints = vec![
        get("/users").about("List users").needs("users.view_any").lists({
            let users = service();
            move |tx, call: &Call<(), UsersQuery>| list(&users, tx, call)
        }),
        get("/users/statistics").about("Count users by status").needs("users.view_any").reads({
            let users = service();
            move |tx, call: &Call| users.statistics(tx, call.caller.client()?)
        }),
        get("/users/{id}").about("Show a user").own("users.view").reads({
            let users = service();
            move |tx, call: &Call<UserId>| {
                call.caller.may_reach(Some(call.path))?;
                let client = call.caller.client()?;
                users.out(tx, client, call.path, users.row(tx, client, call.path)?, call.caller.reach)
            }
        }),
        post("/users")
            .about("Make a user")
            .needs("users.create_any")
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
            .prepares(hash_password, {
                let users = service();
                move |tx, call: &Call<(), NewUserIn>, hash| users.create_by_staff(tx, call, hash)
            }),
        patch("/users/{id}")
            .about("Change a user's particulars")
            .own("users.update")
            .versioned()
            .refuses(&["email_taken", "permission_escalation"])
            .example(json!({ "first_name": "Anna", "phone": "+43 660 7654321" }))
            .writes({
                let users = service();
                move |tx, call: &Call<UserId, UpdateUserIn>| users.update(tx, call)
            }),
        put("/users/{id}/roles")
            .about("Replace a user's roles")
            .needs("users.assign_roles")
            .versioned()
            .refuses(&["role_unknown", "permission_escalation", "last_admin"])
            .example(json!({ "roles": ["user", "moderator"] }))
            .writes({
                let users = service();
                move |tx, call: &Call<UserId, UserRolesIn>| users.set_roles(tx, call)
            }),
    ];
    endpoints.extend(
        [
            (
                "/users/{id}/freeze",
                "Stop money from leaving a user's accounts",
                "users.freeze",
                UserEvent::Freeze,
            ),
            ("/users/{id}/unfreeze", "End a freeze", "users.unfreeze", UserEvent::Unfreeze),
            (
                "/users/{id}/disable",
                "End a user's sessions and let it in no more",
                "users.disable",
                UserEvent::Disable,
            ),
            ("/users/{id}/enable", "Let a disabled user in again", "users.enable", UserEvent::Enable),
        ]
        .map(|(path, about, permission, event)| {
            let users = service();
            post(path)
                .about(about)
                .needs(permission)
                .refuses(&["permission_escalation", "invalid_state_transition", "last_admin"])
                .example(json!({ "reason": "asked for by the customer" }))
                .writes(move |tx, call: &Call<UserId, UserReasonIn>| users.change_status(tx, call, event))
        }),
    );
    endpoints
}

fn list(users: &Users, tx: &ReadTx, call: &Call<(), UsersQuery>) -> Result<Page<UserOut>> {
    let UsersQuery { limit, cursor, q, status, created_from, created_to } = &call.input;
    let client = call.caller.client()?;
    let paging = Paging::new(*limit, cursor, (q, status, created_from, created_to));
    let keep = |row: &UserRow| {
        status.is_none_or(|it| it == row.status())
            && created_within(row.created_at, *created_from, *created_to)
    };
    let rows = match q {
        None => page(tx, &USERS, &client, &paging, keep)?,
        Some(q) => {
            if let Ok(id) = q.trim().parse::<UserId>() {
                let row = tx.get(&USERS, &(client, id))?.filter(keep);
                return row
                    .map(|row| users.out(tx, client, id, row, Reach::Any))
                    .transpose()
                    .map(|it| Page::whole(it.into_iter().collect()));
            }
            let beginning = WordBeginsWith(client, normalise_email(q));
            page_in_order(tx, &USERS, BY_WORD, &beginning, &paging, keep)?
        }
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
