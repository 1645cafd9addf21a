//! What other modules may ask of clients.

pub use super::{
    approval::{ApprovalOperation, ApprovalPolicy, Automatic},
    votes::{
        Approval, ApprovalOut, ApproveIn, Ballot, Motion, ProposalDecisionIn, RejectIn, Vote, VoteOut,
        check_revision, revision_of,
    },
};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::kernel::{
    api::{
        call::Caller,
        input::text_enum,
        object::Times,
        principal::{Actor, ClientId, Grants, KeyId},
    },
    clock::Time,
    error::{Result, refusals},
    money::{Amount, AmountText, Currency, CurrencyCode, Percent},
    store::{
        ReadTx,
        codec::{Decode, Encode},
    },
};
use crate::modules::role::contract::RoleId;

text_enum! {
    /// Whether a client's money is real. Nothing else differs but a few defaults and which gateways may be active.
    pub enum ClientMode { Live = "live", Test = "test" }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Client {
    pub id: ClientId,
    pub name: String,
    /// Unique in the installation.
    pub slug: String,
    pub mode: ClientMode,
    pub is_active: bool,
    pub settings: Settings,
    pub times: Times,
}

/// What a client decides for itself. Amounts are in the default currency of when they were set; they hold for it only,
/// whatever the default one is by now.
#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct Settings {
    pub branding: Branding,
    pub funding: FundingSettings,
    pub withdrawal: WithdrawalSettings,
    pub payment: PaymentSettings,
    pub transfer: TransferSettings,
    pub swap: SwapSettings,
    pub referral: ReferralSettings,
}

/// How the client shows itself to its users.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct Branding {
    pub display_name: Option<String>,
    pub support_email: Option<String>,
    pub website: Option<String>,
}

impl Branding {
    /// A page of the client's web site, else of the installation's; with a code for whoever follows the link. `None`
    /// where neither is configured: the mail carries the code alone then.
    pub fn link(&self, public_url: Option<&str>, page: &str, code: &str) -> Option<String> {
        let site = self.website.as_deref().or(public_url)?;
        Some(format!("{}/{page}?token={code}", site.trim_end_matches('/')))
    }
}

#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct FundingSettings {
    /// The largest deposit.
    pub maximum: Option<Amount>,
    /// For how long what a deposit takes in another currency is promised; never longer than its payment lasts.
    pub quote_expires_after_s: u64,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct WithdrawalSettings {
    /// The smallest withdrawal.
    pub minimum: Option<Amount>,
    /// Up to here (inclusive) a withdrawal is approved automatically; above it, in other currencies, and always when
    /// this is off, it waits for a person.
    pub automatic_up_to: Option<Amount>,
    /// How many people must approve what is above; 1 to 5.
    pub approvals: u32,
    /// Approved withdrawals are sent at once.
    pub auto_process: bool,
    /// How long after it was added a beneficiary may be paid.
    pub beneficiary_cooling_hours: u32,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct PaymentSettings {
    pub expires_after_s: u64,
    /// Marking a payment above this as paid by hand takes a second person.
    pub second_person_above: Option<Amount>,
    /// Refunding more than this of a payment, all its refunds together, takes a second person.
    pub refund_second_person_above: Option<Amount>,
    /// How much less than asked is taken as the whole; nothing in currencies that are not named.
    pub tolerances: Vec<Tolerance>,
}

/// An amount of a currency that need not be the client's default one.
#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct Tolerance {
    pub currency: CurrencyCode,
    /// With at most the currency's decimals; more of them count as nothing.
    pub amount: String,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct TransferSettings {
    /// Whether users may transfer to each other.
    pub between_users: bool,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct SwapSettings {
    /// For how long a quote is promised.
    pub quote_expires_after_s: u64,
    /// The most that can be swapped at once, by what it is worth.
    pub maximum: Option<Amount>,
}

impl Default for SwapSettings {
    fn default() -> SwapSettings {
        SwapSettings { quote_expires_after_s: 30, maximum: None }
    }
}

/// What whoever brought a user earns when that one has paid in for the first time.
#[derive(Debug, Clone, PartialEq, Encode, Decode, Serialize, utoipa::ToSchema)]
pub struct ReferralSettings {
    /// Of what the first deposit credited; zero switches it off.
    pub percent: Percent,
    /// The most for one user. Where there is one, first deposits in other currencies earn nothing.
    pub maximum: Option<Amount>,
}

impl Default for ReferralSettings {
    fn default() -> ReferralSettings {
        ReferralSettings { percent: Percent::ZERO, maximum: None }
    }
}

/// Tenants.
pub trait ClientContract: Send + Sync {
    /// The client; a fault when there is none: a `ClientId` comes from a credential.
    fn get(&self, tx: &ReadTx, client: ClientId) -> Result<Client>;

    /// Who has to approve an operation.
    fn approval_policy(
        &self,
        tx: &ReadTx,
        client: ClientId,
        operation: ApprovalOperation,
    ) -> Result<ApprovalPolicy> {
        Ok(ApprovalPolicy::of_settings(&self.get(tx, client)?.settings, operation))
    }

    /// A stored secret of the client, such as a gateway's credentials. `None` when it was never set.
    fn secret(&self, tx: &ReadTx, client: ClientId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>>;

    /// Who may stand behind an actor: itself, and whoever was shown its text when it is a key. Doubles need not know.
    fn held_by(&self, _tx: &ReadTx, _client: ClientId, actor: Actor) -> Result<Vec<Actor>> {
        Ok(vec![actor])
    }

    /// Whether two actors may be one person: they are the same, or somebody holds both. A key is held by everybody who
    /// was shown its text. What takes two people asks this.
    fn same_person(&self, tx: &ReadTx, client: ClientId, a: Actor, b: Actor) -> Result<bool>;

    /// Refuses `self_approval` when the caller may be the person who did the first half: who asked for it, or whose
    /// money it is.
    fn check_other(&self, tx: &ReadTx, client: ClientId, caller: &Caller, first: Actor) -> Result<()> {
        match self.same_person(tx, client, caller.actor(), first)? {
            true => Err(ClientRefusal::SelfApproval.into()),
            false => Ok(()),
        }
    }

    /// What a key may do now; `None` when it opens no more. Doubles need not know.
    fn key_grants(&self, _tx: &ReadTx, _client: ClientId, _key: KeyId) -> Result<Option<Grants>> {
        Ok(None)
    }

    /// Whether a role stands on the committee of some operation, or of rules that are proposed: whoever has it decides.
    /// Doubles need not know.
    fn is_on_committee(&self, _tx: &ReadTx, _client: ClientId, _role: RoleId) -> Result<bool> {
        Ok(false)
    }

    /// Every client, for jobs that go over all of them.
    fn all(&self, tx: &ReadTx) -> Result<Vec<ClientId>>;
}

/// What six confirmations of a block chain take.
pub const DEPOSIT_QUOTE_S: u64 = 3600;

impl Settings {
    /// What a new client gets: see the defaults of the handbook (docs/ARCHITECTURE.md, "Defaults").
    pub fn for_new_client(mode: ClientMode, default: Currency) -> Result<Settings> {
        let of = |text: &str| -> Result<Option<Amount>> {
            let text: AmountText =
                text.parse().map_err(|()| crate::kernel::error::fault!("{text} is no amount"))?;
            text.not_negative("settings", default).map(Some)
        };
        Ok(Settings {
            branding: Branding::default(),
            funding: FundingSettings { maximum: of("1000000")?, quote_expires_after_s: DEPOSIT_QUOTE_S },
            withdrawal: WithdrawalSettings {
                minimum: of("10")?,
                automatic_up_to: of("1000")?,
                approvals: 1,
                auto_process: false,
                beneficiary_cooling_hours: if mode == ClientMode::Live { 24 } else { 0 },
            },
            payment: PaymentSettings {
                expires_after_s: 24 * 3600,
                second_person_above: None,
                refund_second_person_above: None,
                tolerances: vec![],
            },
            transfer: TransferSettings { between_users: false },
            swap: SwapSettings::default(),
            referral: ReferralSettings::default(),
        })
    }
}

refusals! {
    /// What Client refuses.
    pub enum ClientRefusal {
        /// Another client of the installation has this slug.
        SlugTaken { slug: String }: Conflict "slug_taken" => "slug {slug} is taken",
        /// A revoked key does not come back: make a new one.
        KeyRevoked: Conflict "key_revoked" => "the key is revoked",
        /// An expired key does not come back: make a new one.
        KeyExpired { expired_at: Time }: Conflict "key_expired" => "the key expired at {expired_at}",
        /// A publishable key has no scopes; a secret key has at least one, and each names a resource that exists.
        KeyScopes { reason: String }: Unprocessable "key_scopes" => "{reason}",
        /// Whoever asked for something may not decide over it.
        SelfApproval: Forbidden "self_approval" => "somebody else has to decide",
        /// The client's rules say who decides over this much.
        NotOnCommittee: Forbidden "not_on_committee" => "the committee decides",
        /// Looser rules for approving take two people: propose them with `PUT approval-policies/{operation}`, and
        /// somebody else agrees.
        NeedsSecondPerson { operation: ApprovalOperation }: Forbidden "needs_second_person"
            => "this loosens who approves a {operation}: it takes a second person",
        /// The rules for approving, or what is to be approved, have changed since: votes cast before are void. Look
        /// again, and vote for `current_revision`.
        RevisionStale { current_revision: u32 }: Conflict "revision_stale"
            => "it is at revision {current_revision}",
        /// Everybody has one vote.
        AlreadyVoted: Conflict "already_voted" => "you have voted already",
        /// There is nothing to agree to.
        NothingProposed: Conflict "nothing_proposed" => "nothing is proposed",
    }
}
