//! Bytes in and out: the few shapes that all records, commands and replies are made of.
//!
//! Fixed integers are big-endian; a *varint* is LEB128 of a `u64`; a *string* is a varint length and so many bytes.
//! Reading is total: any bytes in, `None` where they end early or do not fit.

use ringfort_core::BlobId;

/// Appends shapes to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8((value & 0x7f) as u8)
    }

    pub(crate) fn len(&mut self, value: usize) -> &mut Self {
        self.varint(value as u64)
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.len(bytes.len()).raw(bytes)
    }

    pub(crate) fn blob(&mut self, blob: BlobId) -> &mut Self {
        self.raw(blob.as_bytes())
    }

    pub(crate) fn option_blob(&mut self, blob: Option<BlobId>) -> &mut Self {
        match blob {
            None => self.u8(0),
            Some(blob) => self.u8(1).blob(blob),
        }
    }

    pub(crate) fn pairs(&mut self, pairs: &[(String, String)]) -> &mut Self {
        self.len(pairs.len());
        for (name, value) in pairs {
            self.bytes(name.as_bytes()).bytes(value.as_bytes());
        }
        self
    }
}

/// Takes shapes off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn varint_u32(&mut self) -> Option<u32> {
        self.varint()?.try_into().ok()
    }

    /// A count of items of at least one byte each, so that a damaged count cannot ask for more memory than there are bytes.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.varint()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.raw(len)
    }

    pub(crate) fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn blob(&mut self) -> Option<BlobId> {
        self.array().map(BlobId::from_bytes)
    }

    pub(crate) fn option_blob(&mut self) -> Option<Option<BlobId>> {
        if self.bool()? { self.blob().map(Some) } else { Some(None) }
    }

    pub(crate) fn pairs(&mut self) -> Option<Vec<(String, String)>> {
        let count = self.count()?;
        (0..count).map(|_| Some((self.str()?.to_owned(), self.str()?.to_owned()))).collect()
    }

    /// `value`, if nothing is left.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_survive_and_end() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Writer::default();
            out.varint(value).bytes(b"key").u32(7).u64(9).bool(true);
            let mut reader = Reader(&out.0);
            assert_eq!(reader.varint(), Some(value));
            assert_eq!(reader.bytes(), Some(&b"key"[..]));
            assert_eq!((reader.u32(), reader.u64(), reader.bool()), (Some(7), Some(9), Some(true)));
            assert_eq!(reader.end(()), Some(()));
        }
        assert_eq!(Reader(&[0xff; 10]).varint(), None);
        assert_eq!(Reader(&[0xff]).varint(), None);
        assert_eq!(Reader(&[5, 1]).bytes(), None);
    }
}
