//! Clients as earlier releases stored them.

use super::{ClientRow, PolicyRow, Proposal, loosened::SettingsProposal};
use crate::{
    kernel::{
        api::{
            input::Metadata,
            object::Times,
            principal::{Actor, ClientId},
        },
        clock::Time,
        money::{Amount, Percent},
        store::codec::{Decode, Encode},
    },
    modules::client::{
        approval::Committee,
        contract::{
            Branding, Client, ClientMode, DEPOSIT_QUOTE_S, FundingSettings, PaymentSettings,
            ReferralSettings, Settings, SwapSettings, TransferSettings, WithdrawalSettings,
        },
    },
};

/// Before there were swaps, refunds and rewards for bringing somebody, and when what an operation costs was a setting:
/// now there are rules for it.
#[derive(Encode, Decode)]
pub struct ClientRowV1 {
    client: ClientOf<SettingsV1>,
    external_id: Option<String>,
    metadata: Metadata,
}

/// Before a deposit could be paid in another currency.
#[derive(Encode, Decode)]
pub struct ClientRowV2 {
    client: ClientOf<SettingsV2>,
    external_id: Option<String>,
    metadata: Metadata,
}

#[derive(Encode, Decode)]
struct ClientOf<Settings> {
    id: ClientId,
    name: String,
    slug: String,
    mode: ClientMode,
    is_active: bool,
    settings: Settings,
    times: Times,
}

#[derive(Encode, Decode)]
struct SettingsV1 {
    branding: Branding,
    fees: [FeeV1; 2],
    funding: FundingSettingsV1,
    withdrawal: WithdrawalSettings,
    payment: PaymentSettingsV1,
    transfer: TransferSettings,
}

#[derive(Encode, Decode)]
struct SettingsV2 {
    branding: Branding,
    funding: FundingSettingsV1,
    withdrawal: WithdrawalSettings,
    payment: PaymentSettings,
    transfer: TransferSettings,
    swap: SwapSettings,
    referral: ReferralSettings,
}

#[derive(Encode, Decode)]
struct FundingSettingsV1 {
    maximum: Option<Amount>,
}

#[allow(dead_code, reason = "read, to get at what stands behind it")]
#[derive(Encode, Decode)]
struct FeeV1 {
    percent: Percent,
    fixed: Option<Amount>,
    min: Option<Amount>,
    max: Option<Amount>,
}

#[derive(Encode, Decode)]
struct PaymentSettingsV1 {
    expires_after_s: u64,
    second_person_above: Option<Amount>,
}

impl From<ClientRowV1> for ClientRow {
    fn from(row: ClientRowV1) -> ClientRow {
        let ClientRowV1 { client, external_id, metadata } = row;
        let client = client.with(|it| {
            let SettingsV1 { branding, fees: _, funding, withdrawal, payment, transfer } = it;
            let PaymentSettingsV1 { expires_after_s, second_person_above } = payment;
            let (refund_second_person_above, tolerances) = (None, vec![]);
            let payment = PaymentSettings {
                expires_after_s,
                second_person_above,
                refund_second_person_above,
                tolerances,
            };
            let (swap, referral) = (SwapSettings::default(), ReferralSettings::default());
            SettingsV2 { branding, funding, withdrawal, payment, transfer, swap, referral }
        });
        ClientRowV2 { client, external_id, metadata }.into()
    }
}

impl From<ClientRowV2> for ClientRow {
    fn from(row: ClientRowV2) -> ClientRow {
        let ClientRowV2 { client, external_id, metadata } = row;
        let it = client.with(|it| {
            let SettingsV2 { branding, funding, withdrawal, payment, transfer, swap, referral } = it;
            let FundingSettingsV1 { maximum } = funding;
            let funding = FundingSettings { maximum, quote_expires_after_s: DEPOSIT_QUOTE_S };
            Settings { branding, funding, withdrawal, payment, transfer, swap, referral }
        });
        let client = Client {
            id: it.id,
            name: it.name,
            slug: it.slug,
            mode: it.mode,
            is_active: it.is_active,
            settings: it.settings,
            times: it.times,
        };
        ClientRow { client, external_id, metadata }
    }
}

impl<Old> ClientOf<Old> {
    /// The same client, its settings as a later release has them.
    fn with<New>(self, change: impl FnOnce(Old) -> New) -> ClientOf<New> {
        ClientOf {
            id: self.id,
            name: self.name,
            slug: self.slug,
            mode: self.mode,
            is_active: self.is_active,
            settings: change(self.settings),
            times: self.times,
        }
    }
}

/// When only withdrawals took several people.
#[derive(Encode, Decode)]
pub struct PolicyRowV1 {
    one_person_up_to: Option<Amount>,
    committee: Option<Committee>,
    revision: u32,
    proposed: Option<Proposal>,
    times: Times,
}

impl From<PolicyRowV1> for PolicyRow {
    fn from(it: PolicyRowV1) -> PolicyRow {
        let PolicyRowV1 { one_person_up_to, committee, revision, proposed, times } = it;
        PolicyRow { approvals: None, one_person_up_to, committee, revision, proposed, times }
    }
}

/// When there were four controls in the settings.
#[derive(Encode, Decode)]
pub struct LoosenedV1 {
    pub funding_maximum: Option<Option<Amount>>,
    pub withdrawal_minimum: Option<Option<Amount>>,
    pub beneficiary_cooling_hours: Option<u32>,
    pub swap_maximum: Option<Option<Amount>>,
}

/// When a proposal had no revision.
#[derive(Encode, Decode)]
pub struct SettingsProposalV1 {
    loosened: LoosenedV1,
    by: Actor,
    at: Time,
}

#[derive(Encode, Decode)]
pub struct SettingsProposalV2 {
    loosened: LoosenedV1,
    by: Actor,
    at: Time,
    revision: u32,
}

impl From<SettingsProposalV1> for SettingsProposal {
    fn from(it: SettingsProposalV1) -> SettingsProposal {
        let SettingsProposalV1 { loosened, by, at } = it;
        SettingsProposalV2 { loosened, by, at, revision: 1 }.into()
    }
}

impl From<SettingsProposalV2> for SettingsProposal {
    fn from(it: SettingsProposalV2) -> SettingsProposal {
        let SettingsProposalV2 { loosened, by, at, revision } = it;
        SettingsProposal { loosened: loosened.into(), by, at, revision }
    }
}
