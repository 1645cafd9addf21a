//! The history of an account, kept inside the journal.
//!
//! Each posting of an account links back twice: to the posting before it (`previous`), and further back (`jump`). A
//! posting's ordinal counts the postings of its account from 1; the one with ordinal *d* jumps to the one with
//! ordinal *d* with its lowest set bit cleared, `d & (d - 1)`:
//!
//! ```text
//!  ordinal       1    2    3    4    5    6    7    8    9
//!  previous      ·    1    2    3    4    5    6    7    8
//!  jump          ·    ·    2    ·    4    4    6    ·    8
//!
//!                          ┌────┐    ┌─────────┐    ┌────┐
//!                1    2 ◄──┘3   4 ◄──┘5   6 ◄──┘7   8 ◄──┘9
//!                               └◄────────┘
//!
//!  stack after   1    2   2 3   4   4 5  4 6  4 6 7 8   8 9
//! ```
//!
//! The account itself keeps a *stack*: where the postings are whose ordinals are its version with ever more low bits
//! cleared. All that a new posting links to is on it, so appending reads nothing and writes no index; and "the last
//! posting before an instant" is found by O(log²) reads, whatever the age of the account.
//!
//! Postings are named by the number of their entry: an entry has at most one posting per account.

use crate::kernel::error::Result;

/// Where a posting links to: entry numbers, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    pub previous: u64,
    pub jump: u64,
}

/// Appends the posting made by entry `number` to an account that has had `version` postings.
pub fn append(stack: &mut Vec<u64>, version: u64, number: u64) -> Links {
    let previous = top(stack);
    // The low ones of the version are exactly the ordinals that the new one's lowest set bit replaces.
    stack.truncate(stack.len().saturating_sub(version.trailing_ones() as usize));
    let jump = top(stack);
    stack.push(number);
    Links { previous, jump }
}

/// The entry of the last posting; 0 when there is none.
pub fn top(stack: &[u64]) -> u64 {
    stack.last().copied().unwrap_or(0)
}

/// The last posting that is old enough, going back from the one of entry `from`. `is_old` must hold for every posting
/// before one it holds for.
pub fn seek<P>(
    from: u64,
    load: impl Fn(u64) -> Result<P>,
    links: impl Fn(&P) -> Links,
    is_old: impl Fn(&P) -> bool,
) -> Result<Option<P>> {
    if from == 0 {
        return Ok(None);
    }
    let mut at = load(from)?;
    while !is_old(&at) {
        let Links { previous, jump } = links(&at);
        if previous == 0 {
            return Ok(None);
        }
        // Either all down to the target of the jump is too young, or what is sought lies between target and here.
        let target = if jump == 0 || jump == previous { None } else { Some(load(jump)?) };
        at = match target {
            Some(target) if !is_old(&target) => target,
            _ => load(previous)?,
        };
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// The postings of one account, in entries 10, 20, 30, …; the place is the ordinal.
    fn account(postings: u64) -> (Vec<Links>, Vec<u64>) {
        let (mut links, mut stack) = (vec![Links { previous: 0, jump: 0 }], vec![]);
        for version in 0..postings {
            links.push(append(&mut stack, version, (version + 1) * 10));
        }
        (links, stack)
    }

    #[test]
    fn a_posting_jumps_to_its_ordinal_with_the_lowest_bit_cleared() {
        let (links, stack) = account(1000);
        for ordinal in 1..=1000u64 {
            let wanted = Links { previous: (ordinal - 1) * 10, jump: (ordinal & (ordinal - 1)) * 10 };
            assert_eq!(links[ordinal as usize], wanted, "{ordinal}");
        }
        // 1000 is 1111101000 in binary.
        assert_eq!(stack, [5120, 7680, 8960, 9600, 9920, 10000]);
    }

    proptest! {
        #[test]
        fn any_posting_is_found_in_few_steps(postings in 1u64..5000, wanted in 0u64..5100) {
            let (links, stack) = account(postings);
            let reads = Cell::new(0);
            let load = |number: u64| {
                reads.set(reads.get() + 1);
                Ok(number)
            };
            let found = seek(top(&stack), load, |it| links[(*it / 10) as usize], |it| *it <= wanted * 10).unwrap();
            let expected = wanted.min(postings) * 10;
            prop_assert_eq!(found, (expected > 0).then_some(expected));
            prop_assert!(reads.get() <= 100, "{} reads", reads.get()); // log2(5000)² / 2, and the targets
        }
    }
}
