//! How far from the seeds pages go out.
//!
//! **Invariant:** where there is a greatest depth, no page goes out while one that is nearer to
//! the seeds is not done.

use super::types::HostId;

/// Pages that are not done, by depth.
#[derive(Debug)]
pub(super) struct Depths {
    is_barred: bool,
    /// Pages that are not done.
    open: Vec<u64>,
    /// The deepest pages that go out.
    level: u32,
    /// How many are not done of these and those before them.
    n_near: u64,
    /// Hosts that have nothing but deeper ones.
    ahead: Vec<HostId>,
}

impl Depths {
    /// With or without a greatest depth.
    pub(super) fn new(is_barred: bool) -> Self {
        let level = if is_barred { 0 } else { u32::MAX };
        Self { is_barred, open: Vec::new(), level, n_near: 0, ahead: Vec::new() }
    }

    pub(super) fn level(&self) -> u32 {
        self.level
    }

    /// A page is to be fetched.
    pub(super) fn add(&mut self, depth: u32) {
        if self.is_barred {
            let depth_idx = depth as usize;
            if self.open.len() <= depth_idx {
                self.open.resize(depth_idx + 1, 0);
            }
            self.open[depth_idx] += 1;
        }
        self.n_near += u64::from(depth <= self.level);
    }

    /// A page is done.
    pub(super) fn remove(&mut self, depth: u32) {
        if self.is_barred {
            self.open[depth as usize] -= 1;
        }
        self.n_near -= u64::from(depth <= self.level);
    }

    /// A host has nothing but deeper pages.
    pub(super) fn wait(&mut self, host: HostId) {
        self.ahead.push(host);
    }

    /// Once everything near is done, those who waited for it.
    pub(super) fn advance(&mut self) -> Option<Vec<HostId>> {
        if self.n_near > 0 || self.ahead.is_empty() {
            return None;
        }
        let next = self.open.iter().position(|&open| open > 0)?;
        self.level = u32::try_from(next).expect("depths are counted in 32 bits");
        self.n_near = self.open[next];
        Some(std::mem::take(&mut self.ahead))
    }
}
