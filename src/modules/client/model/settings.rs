//! Changing settings: what a client may decide, and within which bounds.

use std::collections::BTreeMap;

use crate::{
    kernel::{
        api::input::{Change, Flaw, Flawed, Flaws, check_length, input},
        error::Result,
        money::{Amount, AmountText, Currency, CurrencyCode, Percent},
    },
    modules::client::contract::{Branding, Settings, Tolerance},
};

input! {
    /// A change of settings: what is omitted stays, and `null` switches an optional amount off.
    #[derive(Debug, Clone, Default)]
    pub struct SettingsIn {
        branding: Option<BrandingIn>,
        funding: Option<FundingSettingsIn>,
        withdrawal: Option<WithdrawalSettingsIn>,
        payment: Option<PaymentSettingsIn>,
        transfer: Option<TransferSettingsIn>,
        swap: Option<SwapSettingsIn>,
        referral: Option<ReferralSettingsIn>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct BrandingIn {
        #[schema(value_type = Option<String>)]
        display_name: Change<String>,
        #[schema(value_type = Option<String>)]
        support_email: Change<String>,
        #[schema(value_type = Option<String>)]
        website: Change<String>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct FundingSettingsIn {
        #[schema(value_type = Option<AmountText>)]
        maximum: Change<AmountText>,
        /// From 60 to 86400.
        quote_expires_after_s: Option<u64>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct WithdrawalSettingsIn {
        #[schema(value_type = Option<AmountText>)]
        minimum: Change<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        automatic_up_to: Change<AmountText>,
        approvals: Option<u32>,
        auto_process: Option<bool>,
        beneficiary_cooling_hours: Option<u32>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct PaymentSettingsIn {
        expires_after_s: Option<u64>,
        #[schema(value_type = Option<AmountText>)]
        second_person_above: Change<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        refund_second_person_above: Change<AmountText>,
        tolerances: Option<Vec<ToleranceIn>>,
    }
}

input! {
    /// How much less than asked is taken as the whole.
    #[derive(Debug, Clone)]
    pub struct ToleranceIn {
        currency: CurrencyCode,
        amount: AmountText,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct TransferSettingsIn {
        between_users: Option<bool>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct SwapSettingsIn {
        quote_expires_after_s: Option<u64>,
        #[schema(value_type = Option<AmountText>)]
        maximum: Change<AmountText>,
    }
}

input! {
    #[derive(Debug, Clone, Default)]
    pub struct ReferralSettingsIn {
        percent: Option<Percent>,
        #[schema(value_type = Option<AmountText>)]
        maximum: Change<AmountText>,
    }
}

impl Settings {
    /// These settings with `change` made to them; amounts are read in the client's default `currency`. Everything
    /// wrong is reported at once, in the order of the fields.
    pub fn changed(mut self, change: &SettingsIn, currency: Currency) -> Result<Settings> {
        let mut reading = Reading { currency, flaws: vec![] };
        if let Some(it) = &change.branding {
            let Branding { display_name, support_email, website } = &mut self.branding;
            reading.text("settings.branding.display_name", &it.display_name, display_name, &|_| true, 100)?;
            reading.text(
                "settings.branding.support_email",
                &it.support_email,
                support_email,
                &is_email,
                254,
            )?;
            reading.text("settings.branding.website", &it.website, website, &is_website, 200)?;
        }
        if let Some(it) = &change.funding {
            let to = &mut self.funding;
            reading.amount("settings.funding.maximum", &it.maximum, &mut to.maximum)?;
            let (param, seconds) = ("settings.funding.quote_expires_after_s", it.quote_expires_after_s);
            to.quote_expires_after_s = reading.within(param, seconds, to.quote_expires_after_s, 60, 86_400);
        }
        if let Some(it) = &change.withdrawal {
            let to = &mut self.withdrawal;
            reading.amount("settings.withdrawal.minimum", &it.minimum, &mut to.minimum)?;
            reading.amount(
                "settings.withdrawal.automatic_up_to",
                &it.automatic_up_to,
                &mut to.automatic_up_to,
            )?;
            let approvals = it.approvals.map(u64::from);
            to.approvals = reading.within("settings.withdrawal.approvals", approvals, to.approvals, 1, 5);
            to.auto_process = it.auto_process.unwrap_or(to.auto_process);
            let hours = it.beneficiary_cooling_hours.map(u64::from);
            to.beneficiary_cooling_hours = reading.within(
                "settings.withdrawal.beneficiary_cooling_hours",
                hours,
                to.beneficiary_cooling_hours,
                0,
                30 * 24,
            );
        }
        if let Some(it) = &change.payment {
            let to = &mut self.payment;
            let (least, most) = (60, 30 * 24 * 3600);
            let seconds = it.expires_after_s;
            to.expires_after_s =
                reading.within("settings.payment.expires_after_s", seconds, to.expires_after_s, least, most);
            let limit = &it.second_person_above;
            reading.amount("settings.payment.second_person_above", limit, &mut to.second_person_above)?;
            let (name, limit) =
                ("settings.payment.refund_second_person_above", &it.refund_second_person_above);
            reading.amount(name, limit, &mut to.refund_second_person_above)?;
            if let Some(tolerances) = &it.tolerances {
                to.tolerances = reading.tolerances(tolerances);
            }
        }
        if let Some(it) = &change.transfer {
            self.transfer.between_users = it.between_users.unwrap_or(self.transfer.between_users);
        }
        if let Some(it) = &change.swap {
            let to = &mut self.swap;
            let (param, seconds) = ("settings.swap.quote_expires_after_s", it.quote_expires_after_s);
            to.quote_expires_after_s = reading.within(param, seconds, to.quote_expires_after_s, 1, 3600);
            reading.amount("settings.swap.maximum", &it.maximum, &mut to.maximum)?;
        }
        if let Some(it) = &change.referral {
            let to = &mut self.referral;
            to.percent = it.percent.unwrap_or(to.percent);
            reading.amount("settings.referral.maximum", &it.maximum, &mut to.maximum)?;
        }
        if reading.flaws.is_empty() { Ok(self) } else { Err(Flawed(reading.flaws).into()) }
    }

    /// Every amount in them, by the name of its setting.
    pub fn amounts(&self) -> impl Iterator<Item = (&'static str, Amount)> {
        let limits = [
            ("funding.maximum", self.funding.maximum),
            ("withdrawal.minimum", self.withdrawal.minimum),
            ("withdrawal.automatic_up_to", self.withdrawal.automatic_up_to),
            ("payment.second_person_above", self.payment.second_person_above),
            ("payment.refund_second_person_above", self.payment.refund_second_person_above),
            ("swap.maximum", self.swap.maximum),
            ("referral.maximum", self.referral.maximum),
        ];
        limits.into_iter().filter_map(|(name, amount)| Some((name, amount?)))
    }

    /// In what currency each amount is: what was set before the client had another default one keeps its own.
    pub fn currencies(&self) -> BTreeMap<String, CurrencyCode> {
        self.amounts().map(|(name, amount)| (name.to_owned(), amount.currency().code)).collect()
    }
}

/// A change while it is read: what is wrong with it so far.
struct Reading {
    currency: Currency,
    flaws: Flaws,
}

impl Reading {
    fn amount(&mut self, param: &str, change: &Change<AmountText>, to: &mut Option<Amount>) -> Result<()> {
        match change {
            Change::Keep => {}
            Change::Clear => *to = None,
            Change::Set(text) => {
                if let Some(amount) = self.noting(text.not_negative(param, self.currency))? {
                    *to = Some(amount);
                }
            }
        }
        Ok(())
    }

    fn tolerances(&mut self, given: &[ToleranceIn]) -> Vec<Tolerance> {
        let mut read: Vec<Tolerance> = vec![];
        for (place, it) in given.iter().enumerate() {
            if read.iter().any(|known| known.currency == it.currency) {
                let param = format!("settings.payment.tolerances[{place}].currency");
                self.flaws.push(Flaw::new(&param, "not_allowed", "is given twice"));
            }
            read.push(Tolerance { currency: it.currency, amount: it.amount.as_str().to_owned() });
        }
        read
    }

    /// The number given, or `kept`.
    fn within<N: TryFrom<u64>>(
        &mut self,
        param: &str,
        given: Option<u64>,
        kept: N,
        least: u64,
        most: u64,
    ) -> N {
        let Some(given) = given else { return kept };
        match N::try_from(given) {
            Ok(number) if (least..=most).contains(&given) => number,
            _ => {
                let message = format!("must be from {least} to {most}");
                self.flaws.push(Flaw::new(param, "out_of_range", message));
                kept
            }
        }
    }

    fn text(
        &mut self,
        param: &str,
        change: &Change<String>,
        to: &mut Option<String>,
        is_right: &dyn Fn(&str) -> bool,
        most: usize,
    ) -> Result<()> {
        match change {
            Change::Keep => {}
            Change::Clear => *to = None,
            Change::Set(text) if !is_right(text) => {
                self.flaws.push(Flaw::new(param, "invalid_format", "is not of its form"));
            }
            Change::Set(text) => {
                if self.noting(check_length(param, text, most))?.is_some() {
                    *to = Some(text.clone());
                }
            }
        }
        Ok(())
    }

    /// The value; `None` when there is something wrong with it, which is noted. A fault goes on.
    fn noting<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.refusal::<Flawed>() {
                Some(Flawed(flaws)) => {
                    self.flaws.extend(flaws.iter().cloned());
                    Ok(None)
                }
                None => Err(error),
            },
        }
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.contains('@') && !text.contains(char::is_whitespace)
    })
}

fn is_website(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|it| !it.is_empty()) && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        kernel::{
            api::input::parse_object,
            error::{Error, Refusal as _},
        },
        modules::client::contract::ClientMode,
    };

    fn currency(code: &str) -> Currency {
        Currency { code: code.parse().unwrap(), decimals: if code == "JPY" { 0 } else { 2 } }
    }

    fn fresh() -> Settings {
        Settings::for_new_client(ClientMode::Live, currency("USD")).unwrap()
    }

    fn change(settings: Settings, body: Value) -> Result<Value, Vec<(String, &'static str)>> {
        let read = parse_object::<SettingsIn>(body).map_err(Flawed);
        let changed = read.map_err(Error::from).and_then(|it| settings.changed(&it, currency("USD")));
        match changed {
            Ok(settings) => Ok(serde_json::to_value(settings).unwrap()),
            Err(error) => {
                let Flawed(flaws) = error.refusal::<Flawed>().expect("a flaw");
                assert_eq!(error.code(), Some(Flawed(flaws.clone()).code()));
                Err(flaws.iter().map(|it| (it.param.clone(), it.code)).collect())
            }
        }
    }

    #[test]
    fn a_new_client_has_the_documented_defaults() {
        let wanted = json!({
            "branding": { "display_name": null, "support_email": null, "website": null },
            "funding": { "maximum": "1000000.00", "quote_expires_after_s": 3600 },
            "withdrawal": {
                "minimum": "10.00", "automatic_up_to": "1000.00", "approvals": 1, "auto_process": false,
                "beneficiary_cooling_hours": 24,
            },
            "payment": {
                "expires_after_s": 86400, "second_person_above": null, "refund_second_person_above": null,
                "tolerances": [],
            },
            "transfer": { "between_users": false },
            "swap": { "quote_expires_after_s": 30, "maximum": null },
            "referral": { "percent": "0", "maximum": null },
        });
        assert_eq!(serde_json::to_value(fresh()).unwrap(), wanted);
        let test = Settings::for_new_client(ClientMode::Test, currency("USD")).unwrap();
        assert_eq!(test.withdrawal.beneficiary_cooling_hours, 0);
    }

    #[test]
    fn omitted_stays_and_null_switches_off_and_zero_is_a_limit() {
        let settings = fresh();
        assert_eq!(change(settings.clone(), json!({})).unwrap(), serde_json::to_value(&settings).unwrap());
        let given = json!({
            "withdrawal": { "minimum": null, "automatic_up_to": "0", "approvals": 2 },
            "payment": {
                "second_person_above": "500", "refund_second_person_above": "50",
                "tolerances": [{ "currency": "BTC", "amount": "0.00000100" }],
            },
        });
        let changed = change(settings, given).unwrap();
        assert_eq!(
            changed["withdrawal"],
            json!({
                "minimum": null, "automatic_up_to": "0.00", "approvals": 2, "auto_process": false,
                "beneficiary_cooling_hours": 24,
            })
        );
        assert_eq!(
            changed["payment"],
            json!({
                "expires_after_s": 86400, "second_person_above": "500.00",
                "refund_second_person_above": "50.00",
                "tolerances": [{ "currency": "BTC", "amount": "0.00000100" }],
            })
        );
        assert_eq!(changed["funding"]["maximum"], "1000000.00");
    }

    #[test]
    fn what_is_wrong_is_said_field_by_field() {
        let huge = format!("1{}", "0".repeat(40));
        for (body, wanted) in [
            (json!({ "colour": {} }), vec![("colour", "unknown_field")]),
            (json!({ "transfer": { "free": true } }), vec![("transfer.free", "unknown_field")]),
            (json!({ "withdrawal": { "minimum": 10 } }), vec![("withdrawal.minimum", "amount_format")]),
            (json!({ "withdrawal": { "minimum": "" } }), vec![("withdrawal.minimum", "amount_format")]),
            (json!({ "withdrawal": { "minimum": "-1" } }), vec![("withdrawal.minimum", "amount_format")]),
            (
                json!({ "withdrawal": { "minimum": format!("{huge}.001") } }),
                vec![("settings.withdrawal.minimum", "amount_too_large")],
            ),
            (
                json!({ "withdrawal": { "minimum": "0.001", "approvals": 6 }, "funding": { "maximum": "1.999" } }),
                vec![
                    ("settings.funding.maximum", "amount_scale"),
                    ("settings.withdrawal.minimum", "amount_scale"),
                    ("settings.withdrawal.approvals", "out_of_range"),
                ],
            ),
            (
                json!({ "withdrawal": { "approvals": 0 } }),
                vec![("settings.withdrawal.approvals", "out_of_range")],
            ),
            (
                json!({ "withdrawal": { "beneficiary_cooling_hours": 721 } }),
                vec![("settings.withdrawal.beneficiary_cooling_hours", "out_of_range")],
            ),
            (
                json!({ "swap": { "quote_expires_after_s": 0, "maximum": "0.001" } }),
                vec![
                    ("settings.swap.quote_expires_after_s", "out_of_range"),
                    ("settings.swap.maximum", "amount_scale"),
                ],
            ),
            (
                json!({ "funding": { "quote_expires_after_s": 86_401 } }),
                vec![("settings.funding.quote_expires_after_s", "out_of_range")],
            ),
            (
                json!({ "payment": { "expires_after_s": 59 } }),
                vec![("settings.payment.expires_after_s", "out_of_range")],
            ),
            (
                json!({ "branding": { "display_name": " ", "support_email": "nobody", "website": "ftp://a" } }),
                vec![
                    ("settings.branding.display_name", "out_of_range"),
                    ("settings.branding.support_email", "invalid_format"),
                    ("settings.branding.website", "invalid_format"),
                ],
            ),
        ] {
            let wanted = wanted.into_iter().map(|(param, code)| (param.to_owned(), code)).collect();
            assert_eq!(change(fresh(), body.clone()), Err(wanted), "{body}");
        }
    }
}
