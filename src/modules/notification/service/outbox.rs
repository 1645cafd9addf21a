//! What is on its way to people, as staff sees it: deliveries of mail and short messages.

use crate::{
    kernel::{
        api::{
            call::found,
            page::{Page, Paging, page},
            principal::ClientId,
        },
        error::Result,
        events::{
            control::JobRefusal,
            delivery::{ATTEMPTS, Attempt, DELIVERIES, Delivery, DeliveryId, State, Status},
        },
        store::{ReadTx, Scan, WriteTx},
    },
    modules::notification::{contract::Channel, mail, sms},
};

/// What mails and short messages are delivered as.
pub const KINDS: [&str; 2] = [mail::KIND, sms::KIND];

pub struct Sent {
    pub id: DeliveryId,
    pub channel: Channel,
    pub row: Delivery,
    pub attempts: Vec<Attempt>,
}

fn channel(row: &Delivery) -> Option<Channel> {
    match row.listener.as_str() {
        mail::KIND => Some(Channel::Mail),
        sms::KIND => Some(Channel::Sms),
        _ => None,
    }
}

pub fn list(
    tx: &ReadTx,
    client: ClientId,
    paging: &Paging,
    keep: impl Fn(&Delivery, Channel) -> bool,
) -> Result<Page<Sent>> {
    let rows =
        page(tx, &DELIVERIES, &client, paging, |row| channel(row).is_some_and(|channel| keep(row, channel)))?;
    rows.try_map(|((_, id), row)| show(tx, id, row))
}

/// Sends it once more, now. Refuses `not_found`, `job_ended` for what was sent or was not to be sent, `job_running`.
pub fn retry(tx: &mut WriteTx, client: ClientId, id: DeliveryId) -> Result<Sent> {
    let row = of_client(tx, client, id)?;
    if row.state == State::Sent {
        return Err(JobRefusal::JobEnded { status: Status::Sent }.into());
    }
    let row = tx.redeliver(id)?;
    show(tx, id, row)
}

/// Calls it off. Refuses `not_found`, and `job_ended` for what was sent, failed or expired.
pub fn cancel(tx: &mut WriteTx, client: ClientId, id: DeliveryId) -> Result<Sent> {
    of_client(tx, client, id)?;
    let row = tx.call_off(id)?;
    show(tx, id, row)
}

fn of_client(tx: &ReadTx, client: ClientId, id: DeliveryId) -> Result<Delivery> {
    let row = tx.delivery(id)?.filter(|(owner, row)| *owner == client && channel(row).is_some());
    found(row).map(|it| it.1)
}

fn show(tx: &ReadTx, id: DeliveryId, row: Delivery) -> Result<Sent> {
    let channel = found(channel(&row))?;
    let attempts = tx.scan(&ATTEMPTS, Scan::prefix(&id)).map(|it| it.map(|(_, attempt)| attempt));
    Ok(Sent { id, channel, attempts: attempts.collect::<Result<_>>()?, row })
}
