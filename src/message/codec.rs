//! Integers and bytes as they stand in payloads.

use anyhow::{Result, bail, ensure};

pub(super) fn put_varint(mut number: u64, payload: &mut Vec<u8>) {
    while number >= 0x80 {
        payload.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    payload.push(number.to_le_bytes()[0]);
}

#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((head, rest)) = self.0.split_first_chunk() else { bail!("message ends early") };
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn fixed_u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("integer in a message does not end")
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32> {
        Ok(u32::try_from(self.varint()?)?)
    }

    pub(super) fn bytes(&mut self, length: u64) -> Result<&'a [u8]> {
        ensure!(length <= self.0.len() as u64, "message ends early");
        #[allow(clippy::cast_possible_truncation, reason = "at most the slice's length")]
        let (head, rest) = self.0.split_at(length as usize);
        self.0 = rest;
        Ok(head)
    }
}
