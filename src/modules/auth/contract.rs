//! What others may ask about operators, and what signing in refuses.

use serde::Serialize;

use crate::kernel::{
    api::{call::Caller, principal::OperatorId},
    clock::Time,
    error::{Result, refusals},
    id::id,
    store::{ReadTx, WriteTx},
};

id!(/** An invitation to become a user. */ InvitationId, "ivt");
id!(/** A token of an operator, from signing in or made by name. */ OperatorTokenId, "opt");

/// Who runs the installation: for the command line, set-up and instances in memory.
pub trait OperatorContract: Send + Sync {
    /// Makes an operator. The hash is `kernel::password`'s. Refuses `operator_exists`.
    fn create(&self, tx: &mut WriteTx, email: &str, password_hash: String) -> Result<OperatorOut>;

    /// Gives an operator another password and ends its sign-ins. Refuses `not_found`.
    fn reset_password(&self, tx: &mut WriteTx, email: &str, password_hash: String) -> Result<OperatorOut>;

    /// All operators, oldest first.
    fn operators(&self, tx: &ReadTx) -> Result<Vec<OperatorOut>>;

    /// A token that claims the installation once, within half an hour. Those made before are void.
    fn setup_token(&self, tx: &mut WriteTx) -> Result<String>;

    /// Makes a named token, good until `expires_at` or until it is revoked, and returns the only sight of it. One
    /// made by an operator acts as that operator; one made on the machine itself acts as an operator of its own.
    fn token_create(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        name: &str,
        expires_at: Option<Time>,
    ) -> Result<(OperatorTokenId, String)>;

    /// Ends a named token; one that has ended stays as it is. Refuses `not_found`.
    fn token_revoke(&self, tx: &mut WriteTx, token: OperatorTokenId) -> Result<OperatorTokenOut>;

    /// All named tokens, oldest first.
    fn tokens(&self, tx: &ReadTx) -> Result<Vec<OperatorTokenOut>>;
}

/// Somebody who runs the installation.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OperatorOut {
    pub id: OperatorId,
    #[schema(value_type = String)]
    pub object: &'static str,
    pub email: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A named token of an operator.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OperatorTokenOut {
    pub id: OperatorTokenId,
    #[schema(value_type = String)]
    pub object: &'static str,
    /// `active`, `expired` or `revoked`.
    #[schema(value_type = String)]
    pub status: &'static str,
    pub name: String,
    /// Who acts when it is used.
    pub operator_id: OperatorId,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub created_at: Time,
}

refusals! {
    /// What Auth refuses.
    pub enum AuthRefusal {
        /// The e-mail address is unknown, or the password is not the account's, or the account does not sign in
        /// (any more). Which of these it is, nobody is told.
        BadCredentials: Unauthenticated "bad_credentials" => "the e-mail address or the password is wrong",
        /// Too many wrong passwords in a row for this address, whether or not it is an account's. The lock ends by
        /// itself: Retry-After says when.
        AccountLocked { retry_after_s: u64 }: TooManyRequests "account_locked"
            => "too many wrong passwords; try again in {retry_after_s} s",
        /// This is about one's own session: sign in. Keys and named operator tokens have none.
        SessionRequired: Forbidden "session_required" => "sign in: this is about a session",
        /// The refresh token was used before, so somebody else may have a copy. The whole session has ended: sign in
        /// again.
        RefreshReused: Unauthenticated "refresh_reused" => "this refresh token was used before; the session has ended",
        /// The link was used, has run out, was guessed at too often, or the account has another address by now. Ask for
        /// another mail.
        MailTokenGone: Gone "mail_token_gone" => "this link is not good any more: ask for another one",
        /// The password is right, and the e-mail address is not confirmed: follow the link in the mail, or have another
        /// one sent with `auth/email/resend`.
        EmailUnverified: Forbidden "email_unverified" => "confirm the e-mail address first",
        /// The code is not the one of this half minute, was used before, or is no recovery code that is left.
        BadCode: Unauthenticated "bad_code" => "the code is wrong, or was used before",
        /// The challenge was answered, has run out after five minutes or five wrong codes, or the password has changed.
        /// Sign in again.
        ChallengeGone: Gone "challenge_gone" => "this challenge is not good any more: sign in again",
        /// There is a second factor in force. Disable it before enrolling another one.
        TotpEnabled: Conflict "totp_enabled" => "there is a second factor already",
        /// There is no second factor in force.
        TotpDisabled: Conflict "totp_disabled" => "there is no second factor",
        /// The invitation was accepted, revoked or replaced, or has run out; or whoever sent it may not give these roles
        /// any more. Ask for another one.
        InvitationGone: Gone "invitation_gone" => "this invitation is not good any more: ask for another one",
        /// An invitation that was accepted cannot be revoked: disable the user.
        InvitationAccepted: Conflict "invitation_accepted" => "the invitation was accepted",
        /// The set-up link was used, is older than half an hour, or was replaced by a newer one. Run
        /// `coffer setup-link`.
        SetupLinkGone: Gone "setup_link_gone" => "this set-up link is not good any more: run `coffer setup-link`",
        /// There is an operator with this address.
        OperatorExists { existing_id: OperatorId }: Conflict "operator_exists" => "{existing_id} has this address",
    }
}
