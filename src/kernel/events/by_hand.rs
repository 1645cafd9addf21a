//! What somebody asks for at once instead of waiting for the worker to come to it: what is due, a number of mails, the
//! pruning. Also where `events.enabled` is off and the worker leaves deliveries alone, as in an installation that is
//! driven by cron.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    delivery::{DELIVERIES, State},
    failpoint::Failpoint,
    outbox::key_client,
    outside::{self, Claim},
    prune::{self, Forgotten},
    queues::Paused,
    sender::{Running, SLOTS},
    verdict::Key,
    worker::Worker,
};
use crate::config::Events;
use crate::kernel::{
    api::principal::ClientId,
    boot::Kernel,
    error::{Result, fault},
    store::{ReadTx, Scan},
};

/// Until when a request may do such work: its answer has to come before the server gives up on it.
pub fn until(kernel: &Kernel) -> Instant {
    let half = Duration::from_secs(kernel.config.server.request_timeout_s) / 2;
    Instant::now() + half.min(Duration::from_secs(20))
}

/// Does what waits where nobody else does.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(fault!("it ended early: {ended}")))
}

/// What may be sent at this moment.
#[derive(Default)]
struct Ready {
    keys: Vec<Key>,
    /// There is more, which waits for its turn: a receiver is given only so much at once.
    more: bool,
}

impl Worker {
    /// Does everything that is due, and waits until it has ended; at most until `until`. How much is still being sent.
    pub fn run_due(&self, until: Instant) -> Result<usize> {
        loop {
            let mut busy = true;
            while busy && Instant::now() < until {
                busy = self.round(true)?;
            }
            let running = self.running();
            let count = running.count();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || (count == 0 && !busy && !self.round(true)?) {
                return Ok(count);
            }
            running.wait_below(count.max(1), left.min(Duration::from_secs(1)));
        }
    }

    /// Sends what is ready for these kinds of target, the oldest of each group first, `limit` at most, and waits until
    /// the attempts have ended; at most until `until`. Before that internal listeners have their turn: it is they who
    /// leave mails. What was taken.
    pub fn send_now(
        &self,
        kinds: &[&str],
        client: Option<ClientId>,
        limit: usize,
        until: Instant,
    ) -> Result<Vec<Key>> {
        while Instant::now() < until && (self.promote_due()? | self.deliver_inside()?) {}
        let running = self.running();
        let mut taken: HashSet<Key> = HashSet::new();
        while taken.len() < limit && Instant::now() < until && !self.stopping.load(Ordering::SeqCst) {
            let passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            let most = (limit - taken.len()).min(SLOTS.saturating_sub(running.count()));
            let ready = self.desk.store.read(|tx| self.ready(tx, kinds, client, most, &taken))?;
            if !ready.keys.is_empty() {
                taken.extend(&ready.keys);
                self.claim_and_send(ready.keys)?;
            } else if ready.more {
                drop(passing);
                running.wait_below(running.count().max(1), Duration::from_millis(50));
            } else {
                break;
            }
        }
        let taken: Vec<Key> = taken.into_iter().collect();
        while Instant::now() < until && self.desk.store.read(|tx| is_sending(tx, &taken))? {
            running.wait_below(running.count().max(1), Duration::from_millis(50));
        }
        Ok(taken)
    }

    /// Forgets what is old enough now, without waiting for the full hour.
    pub fn clean_up(&self, config: &Events, until: Instant) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        loop {
            let config = config.clone();
            let piece = self.desk.store.write_blocking(move |tx| prune::piece(tx, &config))?;
            forgotten.add(&piece);
            if piece.is_nothing() || Instant::now() >= until {
                return Ok(forgotten);
            }
        }
    }

    fn running(&self) -> Arc<Running> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).running().clone()
    }

    fn ready(
        &self,
        tx: &ReadTx,
        kinds: &[&str],
        client: Option<ClientId>,
        most: usize,
        taken: &HashSet<Key>,
    ) -> Result<Ready> {
        let targets = &self.desk.bus.plans.targets;
        let (paused, running) = (Paused::read(tx)?, self.running());
        let queues: HashSet<&str> = kinds.iter().filter_map(|it| Some(targets.get(it)?.plan.queue)).collect();
        let mut found = Ready::default();
        let mut chosen: HashMap<[u8; 16], usize> = HashMap::new();
        for queue in queues.into_iter().filter(|it| !paused.is_paused(it, None)) {
            for entry in tx.scan_index(&DELIVERIES, "events.ready", Scan::prefix(&(true, queue.to_owned()))) {
                let (key, row) = entry?;
                let owner = key_client(key.0);
                let is_wanted = kinds.contains(&row.listener.as_str())
                    && (client.is_none() || owner == client)
                    && !taken.contains(&key)
                    && !(owner.is_some() && paused.is_paused(queue, owner));
                if !is_wanted {
                    continue;
                }
                let at_once = targets.get(row.listener.as_str()).map_or(1, |it| it.plan.at_once.max(1));
                let of_group = chosen.entry(row.group).or_default();
                if found.keys.len() < most && running.of(&row.group) + *of_group < at_once {
                    *of_group += 1;
                    found.keys.push(key);
                } else {
                    found.more = true;
                }
                if found.more && found.keys.len() >= most {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    fn claim_and_send(&self, keys: Vec<Key>) -> Result<()> {
        let (bus, epoch) = (self.desk.bus.clone(), self.desk.epoch);
        let claims = self.desk.store.write_blocking(move |tx| {
            let mut claims: Vec<Claim> = vec![];
            for key in &keys {
                claims.extend(outside::claim(tx, &bus, epoch, key)?);
            }
            Ok(claims)
        })?;
        if self.desk.failpoints.pass(Failpoint::AfterClaimCommit).is_ok() {
            self.senders.lock().unwrap_or_else(PoisonError::into_inner).send(&self.desk, claims);
        }
        Ok(())
    }
}

fn is_sending(tx: &ReadTx, keys: &[Key]) -> Result<bool> {
    for key in keys {
        if tx.get(&DELIVERIES, key)?.is_some_and(|it| it.state == State::Processing) {
            return Ok(true);
        }
    }
    Ok(false)
}
