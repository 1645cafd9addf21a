//! The event system alone, on a file, with one listener that counts: what following up costs when the effect itself
//! costs next to nothing.

use std::{path::Path, sync::Arc, thread::JoinHandle};

use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    kernel::{
        api::call::Caller,
        boot::{Boot, Kernel},
        clock::Clock,
        error::Result,
        events::{
            self,
            event::{Mode, event},
        },
        secret::Secrets,
        store::{Store, StoreOptions, Table, WriteTx},
    },
};

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
struct Counted {
    number: u64,
}
event!(Counted, "testing.counted", number);

/// () → how many events were heard
const HEARD: Table<(), u64> = Table::new("testing.heard");
/// whatever somebody else writes meanwhile
const NOTES: Table<u64, u64> = Table::new("testing.notes");

/// A server that does nothing but count events.
pub struct Counting {
    kernel: Arc<Kernel>,
    worker: Option<JoinHandle<()>>,
}

impl Counting {
    pub fn open(path: &Path) -> Counting {
        let options = StoreOptions { clock: Clock::System, ..StoreOptions::default() };
        let store = Store::open_file(path, true, options).expect("a new file");
        let mut boot = Boot::new(store, Arc::new(Secrets::new(&[0; 32])), Arc::new(Config::default()), true);
        events::register(&mut boot);
        boot.announces::<Counted>();
        boot.listen::<Counted>("testing.count", Mode::Queue, |tx, _, _| {
            let heard = tx.get(&HEARD, &())?.unwrap_or(0);
            tx.put(&HEARD, &(), &(heard + 1))
        });
        let kernel = boot.finish(1).expect("the defaults are a configuration");
        Counting { kernel: Arc::new(kernel), worker: None }
    }

    /// Announces `count` events, a thousand in a transaction. They wait until [`Counting::begin`].
    pub fn publish(&self, count: u64) {
        let publish =
            |tx: &mut WriteTx, number: u64| tx.publish(&Caller::system(None), &Counted { number }).map(drop);
        for first in (0..count).step_by(1000) {
            let piece = move |tx: &mut WriteTx| -> Result<()> {
                (first..count.min(first + 1000)).try_for_each(|number| publish(tx, number))
            };
            self.kernel.store.write_blocking(piece).expect("they are announced");
        }
    }

    /// Hears what waits, on the worker's thread.
    pub fn begin(&mut self) {
        let worker = self.kernel.worker.clone();
        self.worker = Some(std::thread::spawn(move || worker.run()));
    }

    pub fn heard(&self) -> u64 {
        self.kernel.store.read(|tx| tx.get(&HEARD, &())).expect("it can be read").unwrap_or(0)
    }

    /// Somebody else's command: one row, durable when this returns.
    pub async fn write(&self, number: u64) {
        let written = self.kernel.store.write(move |tx| tx.put(&NOTES, &number, &number)).await;
        written.expect("it is written");
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.kernel.worker.stop();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_hears_each_event_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut counting = Counting::open(&folder.path().join("counting.redb"));
        counting.publish(1500);
        assert_eq!(counting.heard(), 0);
        counting.begin();
        let began = std::time::Instant::now();
        while counting.heard() < 1500 {
            assert!(began.elapsed().as_secs() < 20, "{} were heard", counting.heard());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        drop(counting);
    }
}
