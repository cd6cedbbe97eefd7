//! Puts records back into the order of the job. Rank 0 hands out only so far ahead of the first
//! missing one, which bounds what waits here.

use std::collections::BTreeMap;

use anyhow::Result;

/// Records that came before their turn.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
}

impl Ordered {
    /// Takes the record at place `seq`, and gives `write` all those whose turn it is.
    pub(super) fn put(
        &mut self,
        seq: u64,
        record: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if seq != self.next {
            self.waiting.insert(seq, record.to_vec());
            return Ok(());
        }
        write(record)?;
        self.next += 1;
        while let Some(record) = self.waiting.remove(&self.next) {
            write(&record)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Gives `write` what is left, in order, gaps or not.
    pub(super) fn finish(&mut self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        std::mem::take(&mut self.waiting).values().try_for_each(|record| write(record))
    }

    /// Records that wait.
    pub(super) fn n_waiting(&self) -> u64 {
        self.waiting.values().map(|record| u64::from(!record.is_empty())).sum()
    }

    pub(super) fn first_missing(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_leave_in_order() {
        let mut ordered = Ordered::default();
        let mut written = Vec::new();
        for (seq, missing) in [(2, 0), (0, 1), (3, 1), (1, 4), (4, 5)] {
            let record = [u8::try_from(seq).unwrap()];
            let write = |record: &[u8]| {
                written.extend_from_slice(record);
                Ok(())
            };
            ordered.put(seq, &record, write).unwrap();
            assert_eq!(ordered.first_missing(), missing);
        }
        assert_eq!(written, [0, 1, 2, 3, 4]);
    }
}
