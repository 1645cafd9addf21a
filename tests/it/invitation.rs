//! Inviting people by mail.

use std::time::Duration;

use coffer::testing::{Answer, CapturedMail, Http, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;

fn bob(roles: &[&str]) -> Value {
    json!({ "email": "Bob@example.com", "first_name": "Bob", "last_name": "Jones", "roles": roles })
}

/// The operator, inside the client of the instance.
fn inside(coffer: &Instance) -> Http {
    coffer.operator().inside(&coffer.credentials().client_id)
}

async fn accept(coffer: &Instance, token: &str) -> Answer {
    let body = json!({ "token": token, "password": PASSWORD });
    coffer.publishable().post("/invitations/accept", body).await
}

async fn last_mail(coffer: &Instance) -> CapturedMail {
    coffer.settle().await;
    coffer.mailbox().pop().unwrap()
}

fn token(mail: &CapturedMail) -> String {
    let start = mail.text.find("ivn_").unwrap_or_else(|| panic!("no token in {}", mail.text));
    mail.text[start..].split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap().to_owned()
}

/// A member of staff with these roles: its id and session.
async fn staff(coffer: &Instance, email: &str, roles: &[&str]) -> (String, Http) {
    let body =
        json!({ "email": email, "first_name": "S", "last_name": "T", "password": PASSWORD, "roles": roles });
    let id = inside(coffer).post("/users", body).await.expect(201).id().to_owned();
    let body = json!({ "email": email, "password": PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", body).await.expect(200);
    (id, coffer.with(tokens.body["access_token"].as_str().unwrap()))
}

async fn roles_of(coffer: &Instance, user: &str, roles: &[&str]) {
    let path = format!("/users/{user}");
    let version = coffer.key().get(&path).await.expect(200).body["version"].as_u64().unwrap();
    inside(coffer).put(&format!("{path}/roles"), version, json!({ "roles": roles })).await.expect(200);
}

#[tokio::test]
async fn whoever_reads_the_mail_becomes_the_user_once() {
    let coffer = Instance::start().await;
    coffer.new_events();
    let made = inside(&coffer).post("/invitations", bob(&["moderator"])).await.expect(201);
    assert_eq!(coffer.new_events(), ["invitation.created"]);
    assert_eq!(
        (&made.body["status"], &made.body["email"], &made.body["roles"]),
        (&json!("pending"), &json!("bob@example.com"), &json!(["moderator"]))
    );
    let mail = last_mail(&coffer).await;
    assert_eq!(mail.to, "bob@example.com");
    let token = token(&mail);
    for told in [&made.body, &coffer.key().get("/events").await.expect(200).body] {
        assert!(!told.to_string().contains("ivn_"), "the token is in the mail alone");
    }
    coffer.new_events();
    let weak = json!({ "token": token, "password": "short" });
    coffer.publishable().post("/invitations/accept", weak).await.refused(422, "out_of_range");
    accept(&coffer, &format!("{token}x")).await.refused(410, "invitation_gone");

    let tokens = accept(&coffer, &token).await.expect(200);
    assert_eq!(coffer.new_events(), ["user.registered", "auth.email_verified", "invitation.accepted"]);
    let bob = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let me = bob.get("/auth/me").await.expect(200);
    assert_eq!(
        (&me.body["email_verified"], &me.body["roles"], &me.body["first_name"]),
        (&json!(true), &json!(["moderator"]), &json!("Bob"))
    );
    accept(&coffer, &token).await.refused(410, "invitation_gone");
    let path = format!("/invitations/{}", made.id());
    let shown = coffer.key().get(&path).await.expect(200);
    assert_eq!((&shown.body["status"], &shown.body["user_id"]), (&json!("accepted"), &me.body["id"]));
    let revoked = coffer.key().post(&format!("{path}/revoke"), json!({})).await;
    revoked.refused(409, "invitation_accepted");
    coffer.key().post("/invitations", self::bob(&["user"])).await.refused(409, "email_taken");
    let accepted = coffer.key().get("/invitations?accepted=true&email=bob@example.com").await.expect(200);
    assert_eq!(accepted.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_invitation_ends_by_time_by_hand_and_by_a_newer_one() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let mut body = bob(&["user"]);
    body["expires_in_hours"] = 0.into();
    key.post("/invitations", body.clone()).await.refused(422, "out_of_range");
    body["expires_in_hours"] = 1.into();
    let first = key.post("/invitations", body.clone()).await.expect(201);
    let first_token = token(&last_mail(&coffer).await);
    coffer.new_events();
    let second = key.post("/invitations", body.clone()).await.expect(201);
    assert_eq!(coffer.new_events(), ["invitation.revoked", "invitation.created"]);
    let second_token = token(&last_mail(&coffer).await);
    accept(&coffer, &first_token).await.refused(410, "invitation_gone");
    let status = |id: String| {
        let key = coffer.key();
        async move { key.get(&format!("/invitations/{id}")).await.expect(200).body["status"].clone() }
    };
    assert_eq!(status(first.id().to_owned()).await, "revoked");
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(status(second.id().to_owned()).await, "expired");
    accept(&coffer, &second_token).await.refused(410, "invitation_gone");

    let third = key.post("/invitations", body).await.expect(201);
    let third_token = token(&last_mail(&coffer).await);
    let path = format!("/invitations/{}/revoke", third.id());
    key.post(&path, json!({})).await.expect(200);
    assert_eq!(key.post(&path, json!({})).await.expect(200).body["status"], "revoked");
    accept(&coffer, &third_token).await.refused(410, "invitation_gone");
}

#[tokio::test]
async fn nobody_invites_to_more_than_they_have_then_and_later() {
    let coffer = Instance::start().await;
    let inviting = json!({
        "name": "inviter",
        "permissions": ["invitations.create_any", "invitations.view_any", "users.view_any"],
    });
    inside(&coffer).post("/roles", inviting).await.expect(201);
    let (id, carl) = staff(&coffer, "carl@example.com", &["inviter"]).await;
    for more in ["admin", "moderator"] {
        carl.post("/invitations", bob(&[more])).await.refused(403, "permission_escalation");
    }
    carl.post("/invitations", bob(&["king"])).await.refused(422, "role_unknown");
    carl.post("/invitations", bob(&["inviter"])).await.expect(201);
    let sent = token(&last_mail(&coffer).await);
    roles_of(&coffer, &id, &["user"]).await;
    accept(&coffer, &sent).await.refused(410, "invitation_gone");
    roles_of(&coffer, &id, &["inviter"]).await;
    let because = json!({ "reason": "test" });
    inside(&coffer).post(&format!("/users/{id}/freeze"), because.clone()).await.expect(200);
    accept(&coffer, &sent).await.refused(410, "invitation_gone");
    inside(&coffer).post(&format!("/users/{id}/unfreeze"), because).await.expect(200);
    accept(&coffer, &sent).await.expect(200);
}
