//! The files of a server, `default` and those of modules that live alone: which one something is in, whether what is
//! in them holds, and that they are closed.

use std::collections::BTreeSet;

use super::{
    annex::Annex,
    api::endpoint::Endpoint,
    boot::{Invariant, Kernel},
    error::Result,
    store::{ReadTx, Store, TableInfo, verify_tables},
};

impl Kernel {
    /// Everything that is wrong with the file `default`: tables and their indexes, then each module's invariants.
    pub fn verify(&self, tx: &ReadTx) -> Result<Vec<String>> {
        self.verify_part(tx, None, &BTreeSet::new())
    }

    /// The same of every file, without the modules that are named.
    pub fn verify_all(&self, left_out: &BTreeSet<&'static str>) -> Result<Vec<String>> {
        let mut wrong = self.store.read_unbounded(|tx| self.verify_part(tx, None, left_out))?;
        for annex in &self.annexes {
            let found = annex.store.read_unbounded(|tx| self.verify_part(tx, Some(annex), left_out))?;
            wrong.extend(found.into_iter().map(|it| format!("connection {}: {it}", annex.connection)));
        }
        Ok(wrong)
    }

    /// What is wrong in one file: `annex`, or `default`.
    fn verify_part(
        &self,
        tx: &ReadTx,
        annex: Option<&Annex>,
        left_out: &BTreeSet<&'static str>,
    ) -> Result<Vec<String>> {
        let has = |table: &TableInfo| match annex {
            Some(annex) => annex.has(table) || table.module() == "kernel",
            None => !self.annexes.iter().any(|it| it.has(table)),
        };
        let tables = self.tables.iter().filter(|it| has(it) && !left_out.contains(it.module()));
        let mut wrong = verify_tables(tx, tables)?;
        // The kernel's own are about the outbox, which is in `default`.
        let is_here = |it: &Invariant| match annex {
            Some(annex) => annex.modules.contains(&it.module) && !it.beside_outbox,
            None => !self.is_annex(it.module) || it.beside_outbox,
        };
        let here = |it: &&Invariant| is_here(it) && !left_out.contains(it.module);
        for Invariant { name, check, .. } in self.checks.iter().filter(here) {
            wrong.extend(check(tx)?.into_iter().map(|it| format!("{name}: {it}")));
        }
        Ok(wrong)
    }

    /// Where a module's tables are: whatever of it opens a transaction, opens it there.
    pub fn store_of(&self, module: &str) -> &Store {
        self.annexes.iter().find(|it| it.modules.contains(&module)).map_or(&self.store, |it| &it.store)
    }

    /// The file a table is in.
    pub fn store_of_table(&self, table: &TableInfo) -> &Store {
        self.annexes.iter().find(|it| it.has(table)).map_or(&self.store, |it| &it.store)
    }

    /// Where the transactions of an endpoint are.
    pub fn home_of(&self, endpoint: &Endpoint) -> &Store {
        if endpoint.beside_outbox { &self.store } else { self.store_of(endpoint.module) }
    }

    /// Whether the transactions of an endpoint are in another file than those who ask are.
    pub fn is_away(&self, endpoint: &Endpoint) -> bool {
        !endpoint.beside_outbox && self.is_annex(endpoint.module)
    }

    /// Whether a module lives in a file of its own.
    pub fn is_annex(&self, module: &str) -> bool {
        self.annexes.iter().any(|it| it.modules.contains(&module))
    }

    /// Closes every file, `default` last.
    pub fn close(&self) -> Result<()> {
        let closed = self.annexes.iter().map(|it| it.store.close()).fold(Ok(()), Result::and);
        self.store.close().and(closed)
    }

    /// One line that says why commands cannot be taken; `None` when they can.
    pub fn why_not_ready(&self) -> Option<String> {
        if let Some(reason) = self.failure() {
            return Some(format!("the store stopped: {reason}"));
        }
        let mut stores = self.annexes.iter().map(|it| &it.store).chain([&self.store]);
        stores
            .any(Store::is_low_on_disk)
            .then(|| "the disk is nearly full: reads go on, writes are refused".to_owned())
    }

    /// Why the storage of one of the files failed, if one has.
    pub fn failure(&self) -> Option<String> {
        let others =
            self.annexes.iter().filter_map(|it| Some(format!("{}: {}", it.connection, it.store.failure()?)));
        self.store.failure().into_iter().chain(others).next()
    }

    /// Waits until the storage of one of the files fails, and says why.
    pub async fn failed(&self) -> String {
        let stores = self.annexes.iter().map(|it| &it.store).chain([&self.store]);
        let failing = stores.map(|it| Box::pin(it.failed()));
        futures_util::future::select_all(failing).await.0
    }
}
