//! A small node for the table's tests: key and value bytes in one allocation, at a thin pointer.
//!
//! Layout: key length, value length (each one byte, or 255 and four more), key, value.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::alloc::{allocate, free};
use super::table::Node;

/// An owned member.
pub(crate) struct Member(NonNull<u8>);

// SAFETY: a member owns its block and shares nothing.
unsafe impl Send for Member {}

/// A member, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct MemberRef<'a> {
    block: NonNull<u8>,
    borrows: PhantomData<&'a [u8]>,
}

/// A member whose value may be overwritten in place.
pub(crate) struct MemberMut<'a> {
    block: NonNull<u8>,
    borrows: PhantomData<&'a mut [u8]>,
}

/// Lengths that were read from a block: where the key starts, key length, value length.
#[derive(Clone, Copy)]
struct Shape {
    start: usize,
    key: usize,
    value: usize,
}

impl Shape {
    fn of(key: &[u8], value: &[u8]) -> Self {
        Self { start: length_size(key.len()) + length_size(value.len()), key: key.len(), value: value.len() }
    }

    fn bytes(self) -> usize {
        self.start + self.key + self.value
    }
}

fn length_size(len: usize) -> usize {
    if len < 255 { 1 } else { 5 }
}

/// Writes a length at `at`; returns the address behind it.
///
/// # Safety
/// `at` leads to `length_size(len)` writable bytes.
unsafe fn write_length(at: *mut u8, len: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the room.
    unsafe {
        if len < 255 {
            at.write(len as u8);
            at.add(1)
        } else {
            at.write(255);
            at.add(1).cast::<u32>().write_unaligned(len as u32);
            at.add(5)
        }
    }
}

/// Reads a length at `at` of `block`: the length and the bytes that it takes.
///
/// # Safety
/// A length was written there.
#[inline]
unsafe fn read_length(at: *const u8) -> (usize, usize) {
    // SAFETY: the caller vouches for what lies there.
    unsafe {
        match at.read() {
            255 => (at.add(1).cast::<u32>().read_unaligned() as usize, 5),
            len => (usize::from(len), 1),
        }
    }
}

/// # Safety
/// `block` is a member's.
#[inline]
unsafe fn shape(block: NonNull<u8>) -> Shape {
    // SAFETY: a member starts with two lengths.
    unsafe {
        let (key, key_size) = read_length(block.as_ptr());
        let (value, value_size) = read_length(block.as_ptr().add(key_size));
        Shape { start: key_size + value_size, key, value }
    }
}

impl Member {
    /// A member with copies of `key` and `value`, each shorter than 4 GiB.
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        assert!(u32::try_from(key.len()).is_ok() && u32::try_from(value.len()).is_ok());
        let shape = Shape::of(key, value);
        let block = allocate(shape.bytes(), 1);
        // SAFETY: the block holds `shape.bytes()`, which is the lengths, the key and the value.
        unsafe {
            let at = write_length(block.as_ptr(), key.len());
            let at = write_length(at, value.len());
            at.copy_from_nonoverlapping(key.as_ptr(), key.len());
            at.add(key.len()).copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        Self(block)
    }

    /// Reads the member.
    pub(crate) fn view(&self) -> MemberRef<'_> {
        MemberRef { block: self.0, borrows: PhantomData }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the block is this member's own, allocated with this size class.
        unsafe { free(self.0, shape(self.0).bytes(), 1) }
    }
}

impl<'a> MemberRef<'a> {
    /// The field or member.
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        // SAFETY: the block holds what its lengths say, and is borrowed for 'a.
        unsafe {
            let shape = shape(self.block);
            std::slice::from_raw_parts(self.block.as_ptr().add(shape.start), shape.key)
        }
    }

    /// The value.
    #[inline]
    pub(crate) fn value(self) -> &'a [u8] {
        // SAFETY: as in `key`.
        unsafe {
            let shape = shape(self.block);
            std::slice::from_raw_parts(self.block.as_ptr().add(shape.start + shape.key), shape.value)
        }
    }
}

impl MemberMut<'_> {
    /// Reads the member.
    pub(crate) fn view(&self) -> MemberRef<'_> {
        MemberRef { block: self.block, borrows: PhantomData }
    }

    /// Overwrites the value with one of the same length; false, and nothing happens, for another length.
    pub(crate) fn set_value(&mut self, value: &[u8]) -> bool {
        // SAFETY: the block holds what its lengths say, and is borrowed alone.
        unsafe {
            let shape = shape(self.block);
            if shape.value != value.len() {
                return false;
            }
            let at = self.block.as_ptr().add(shape.start + shape.key);
            at.copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        true
    }
}

// SAFETY: the pointer is the node; the block moves only by being made anew; nothing here changes the key.
unsafe impl Node for Member {
    type Ref<'a> = MemberRef<'a>;
    type Mut<'a> = MemberMut<'a>;

    fn into_block(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_block(block: NonNull<u8>) -> Self {
        Self(block)
    }

    unsafe fn view<'a>(block: NonNull<u8>) -> MemberRef<'a> {
        MemberRef { block, borrows: PhantomData }
    }

    unsafe fn view_mut<'a>(block: NonNull<u8>) -> MemberMut<'a> {
        MemberMut { block, borrows: PhantomData }
    }

    fn key(view: Self::Ref<'_>) -> &[u8] {
        view.key()
    }
}
