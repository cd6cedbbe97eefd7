//! Room for long rows of numbers.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::{Advice, MmapMut};

/// Bytes from which on numbers are in pages of their own.
const IN_PAGES: usize = 4 << 20;

/// Numbers, zeros at first.
pub(super) struct Numbers<T>(Room<T>);

enum Room<T> {
    /// In memory as any other.
    Few(Vec<T>),
    /// So many in large pages, where the system has them: a page interrupts who first writes to
    /// it, and of those of 4 KiB a long term needs ten thousands.
    Many(MmapMut, usize, PhantomData<T>),
}

impl<T: Pod> Numbers<T> {
    pub(super) fn new(len: usize) -> Self {
        let n_bytes = len * size_of::<T>();
        if n_bytes < IN_PAGES {
            return vec![T::zeroed(); len].into();
        }
        let pages = MmapMut::map_anon(n_bytes);
        let pages = pages.unwrap_or_else(|error| panic!("no {n_bytes} bytes of memory: {error}"));
        let _ = pages.advise(Advice::HugePage); // small ones do as well
        Self(Room::Many(pages, len, PhantomData))
    }

    /// Leaves out those from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Room::Few(numbers) => numbers.truncate(len),
            Room::Many(_, n_left, _) => *n_left = len.min(*n_left),
        }
    }
}

impl<T> From<Vec<T>> for Numbers<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self(Room::Few(numbers))
    }
}

impl<T: Pod> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Room::Few(numbers) => numbers,
            Room::Many(pages, len, _) => &bytemuck::cast_slice(pages)[..*len],
        }
    }
}

impl<T: Pod> DerefMut for Numbers<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Room::Few(numbers) => numbers,
            Room::Many(pages, len, _) => &mut bytemuck::cast_slice_mut(pages)[..*len],
        }
    }
}

impl<T> std::fmt::Debug for Numbers<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zeros_and_keep_what_is_written() {
        let most = IN_PAGES / size_of::<u64>();
        for (len, is_many) in [(0, false), (most - 1, false), (most, true), (most + 1, true)] {
            let mut numbers = Numbers::new(len);
            assert_eq!(matches!(numbers.0, Room::Many(..)), is_many);
            assert_eq!(numbers.len(), len);
            assert!(numbers.iter().all(|number| *number == 0));
            for (number, value) in numbers.iter_mut().zip(1_u64..) {
                *number = value;
            }
            numbers.truncate(len.saturating_sub(2));
            numbers.truncate(len);
            assert!(numbers.iter().copied().eq(1..(len as u64).saturating_sub(1).max(1)));
        }
    }
}
