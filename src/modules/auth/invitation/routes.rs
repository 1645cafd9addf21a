//! Invitations over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{
    repository::{Invitation, InvitationStatus},
    service::Invitations,
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            object::{ExternalId, filters, object},
            principal::{Actor, UserId},
        },
        clock::Time,
    },
    modules::{
        auth::contract::InvitationId,
        user::contract::{Email, PersonName, Phone},
    },
};

input! {
    /// Somebody to be invited.
    pub struct InvitationIn {
        email: Email,
        first_name: PersonName,
        last_name: PersonName,
        /// Names of roles; `user` unless given. Nobody can give more than they have.
        roles: Option<Vec<String>>,
        /// How long the link is good, 1 to 720; a week unless given.
        expires_in_hours: Option<u32>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// Becoming the user one was invited as.
    pub struct InvitationAcceptIn {
        /// From the link in the mail.
        token: String,
        password: String,
        /// As in the invitation unless given.
        first_name: Option<PersonName>,
        last_name: Option<PersonName>,
        phone: Option<Phone>,
    }
}

filters! {
    pub struct InvitationQuery of Invitation {
        email: Email = |it, wanted| it.email == wanted.as_str(),
        accepted: bool = |it| it.user().is_some(),
    }
}

object! {
    /// An invitation to become a user.
    pub struct InvitationOut: "invitation" of (id: InvitationId, row: &Invitation, roles: Vec<String>, now: Time) {
        status: InvitationStatus = row.status(now),
        email: String = row.email.clone(),
        first_name: String = row.first_name.clone(),
        last_name: String = row.last_name.clone(),
        /// The names of the roles it gives.
        roles: Vec<String> = roles,
        invited_by: Actor = row.invited_by,
        expires_at: Time = row.expires_at,
        /// Who it became.
        user_id: Option<UserId> = row.user(),
    }
}

pub fn endpoints(service: &Arc<Invitations>) -> Vec<Endpoint> {
    let (preparing, accepting) = (service.clone(), service.clone());
    vec![
        get("/invitations")
            .about("List the invitations, newest first")
            .needs("invitations.view_any")
            .lists_with(service, Invitations::list),
        get("/invitations/{id}")
            .about("Show an invitation")
            .needs("invitations.view_any")
            .reads_with(service, Invitations::show),
        post("/invitations")
            .about("Invite somebody by mail; what waited for the same address is void")
            .needs("invitations.create_any")
            .refuses(&[
                "email_taken",
                "external_id_taken",
                "mail_not_configured",
                "permission_escalation",
                "role_unknown",
            ])
            .example(json!({
                "email": "bob@example.com", "first_name": "Bob", "last_name": "Jones", "roles": ["moderator"],
            }))
            .writes_with(service, Invitations::invite),
        post("/invitations/{id}/revoke")
            .about("Void an invitation that nobody accepted")
            .needs("invitations.revoke_any")
            .status(200)
            .refuses(&["invitation_accepted"])
            .writes_with(service, Invitations::revoke),
        post("/invitations/accept")
            .about("Become the user one was invited as, and sign in")
            .public()
            .plain()
            .status(200)
            .refuses(&["invitation_gone", "email_taken"])
            .example(json!({ "token": "ivn_…", "password": "a quiet river stone" }))
            .prepares(
                move |kernel, call| preparing.clone().hash(kernel, call),
                move |tx, call: &Call<(), InvitationAcceptIn>, hash| accepting.accept(tx, call, hash),
            ),
    ]
}
