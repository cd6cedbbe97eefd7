//! Asks the MPI which ranks have died, where it can tell: the functions of User-Level Failure
//! Mitigation (Open MPI manual, "ULFM"), found by name at run time so that one binary serves
//! MPIs with and without them.

#![allow(unsafe_code, reason = "functions that are looked up by name")]

use std::ffi::{CStr, c_int, c_void};

use anyhow::{Result, ensure};
use mpi::ffi;

use crate::message::Rank;

type Ack = unsafe extern "C" fn(ffi::MPI_Comm) -> c_int;
type GetAcked = unsafe extern "C" fn(ffi::MPI_Comm, *mut ffi::MPI_Group) -> c_int;

/// The functions, where the MPI has them.
#[derive(Clone, Copy)]
pub(super) struct Ulfm {
    ack: Ack,
    get_acked: GetAcked,
}

impl Ulfm {
    pub(super) fn find() -> Option<Self> {
        // MPICH 5.0 has functions of these names, which end the world ("ch4_comm.c": not done).
        let library = mpi::environment::library_version().unwrap_or_default();
        if library.starts_with("MPICH") {
            return None;
        }
        let ack = look_up(c"MPIX_Comm_failure_ack")?;
        let get_acked = look_up(c"MPIX_Comm_failure_get_acked")?;
        // SAFETY: functions of these names have these types (MPI's ULFM extension).
        unsafe {
            Some(Self {
                ack: std::mem::transmute::<*mut c_void, Ack>(ack),
                get_acked: std::mem::transmute::<*mut c_void, GetAcked>(get_acked),
            })
        }
    }

    /// The ranks of `world` that are known to be dead; receiving from any rank works again
    /// after this.
    pub(super) fn dead(self, world: ffi::MPI_Comm) -> Result<Vec<Rank>> {
        // SAFETY: `world` is a valid communicator; every pointer is to a local or a vector of
        // the length that is passed with it.
        unsafe {
            ensure!((self.ack)(world) == 0, "MPIX_Comm_failure_ack failed");
            let mut all = std::mem::zeroed();
            let mut dead = std::mem::zeroed();
            ensure!(
                (self.get_acked)(world, &raw mut dead) == 0,
                "MPIX_Comm_failure_get_acked failed"
            );
            ensure!(ffi::MPI_Comm_group(world, &raw mut all) == 0, "MPI_Comm_group failed");
            let mut n_dead: c_int = 0;
            ensure!(ffi::MPI_Group_size(dead, &raw mut n_dead) == 0, "MPI_Group_size failed");
            let of_group: Vec<c_int> = (0..n_dead).collect();
            let mut of_world = of_group.clone();
            let code = ffi::MPI_Group_translate_ranks(
                dead,
                n_dead,
                of_group.as_ptr(),
                all,
                of_world.as_mut_ptr(),
            );
            ensure!(code == 0, "MPI_Group_translate_ranks failed");
            ffi::MPI_Group_free(&raw mut dead);
            ffi::MPI_Group_free(&raw mut all);
            of_world.into_iter().map(|rank| Ok(Rank(u32::try_from(rank)?))).collect()
        }
    }
}

fn look_up(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a valid string; the libraries that this program is linked with are searched.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
