//! Allocation for nodes and tables: sizes are rounded to the allocator's classes here, so that the size of a block
//! can be computed again from what it holds, and addresses are checked to leave the lane's upper bits free.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

use crate::memory::size_class;

use super::lane::ADDRESS_BITS;

/// Size of a cache line, the alignment of buckets.
pub(super) const LINE: usize = 64;

fn layout(bytes: usize, align: usize) -> Layout {
    match Layout::from_size_align(size_class(bytes), align) {
        Ok(layout) => layout,
        Err(error) => panic!("allocation of {bytes} bytes: {error}"),
    }
}

fn checked(block: *mut u8, layout: Layout) -> NonNull<u8> {
    let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
    assert!(block.addr().get() >> ADDRESS_BITS == 0, "address beyond {ADDRESS_BITS} bits");
    block
}

/// A block of at least `bytes` (more than 0), rounded up to its size class; contents undefined.
#[inline]
pub(super) fn allocate(bytes: usize, align: usize) -> NonNull<u8> {
    let layout = layout(bytes, align);
    assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    checked(unsafe { std::alloc::alloc(layout) }, layout)
}

/// Like [`allocate`], filled with zeros.
pub(super) fn allocate_zeroed(bytes: usize, align: usize) -> NonNull<u8> {
    let layout = layout(bytes, align);
    assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    checked(unsafe { std::alloc::alloc_zeroed(layout) }, layout)
}

/// Moves a block to a size class that holds `new_bytes`, keeping the contents that fit.
///
/// # Safety
/// `block` came from here with this alignment and a size of the same class as `old_bytes`, and is not used again.
pub(super) unsafe fn reallocate(
    block: NonNull<u8>,
    old_bytes: usize,
    new_bytes: usize,
    align: usize,
) -> NonNull<u8> {
    let new = layout(new_bytes, align);
    assert!(new.size() > 0);
    // SAFETY: the caller vouches for block and old layout; the new size is not zero and fits a layout.
    let moved = unsafe { std::alloc::realloc(block.as_ptr(), layout(old_bytes, align), new.size()) };
    checked(moved, new)
}

/// Gives a block back.
///
/// # Safety
/// `block` came from here with this alignment and a size of the same class as `bytes`, and is not used again.
#[inline]
pub(super) unsafe fn free(block: NonNull<u8>, bytes: usize, align: usize) {
    // SAFETY: the caller vouches for block and layout.
    unsafe { std::alloc::dealloc(block.as_ptr(), layout(bytes, align)) }
}
