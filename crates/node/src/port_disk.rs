//! The methods of a port that open files and devices. What is done with them goes through the rings.

use std::path::PathBuf;

use napi_derive::napi;

use crate::mailbox::{Letter, OpenTarget};
use crate::port::Port;

#[napi]
impl Port {
    /// Opens a file past the page cache; FILE_OPENED or FILE_OPEN_FAILED answers with `request`.
    #[napi]
    pub fn open_file(&self, request: u32, path: String, read_only: bool, create: bool) {
        let target = OpenTarget::File { write: !read_only, create };
        self.mailbox.post(Letter::Open { request, path: PathBuf::from(path), target });
    }

    /// Opens the generic character device of a namespace; DEVICE_OPENED or DEVICE_OPEN_FAILED answers with `request`.
    #[napi]
    pub fn open_device(&self, request: u32, path: String, namespace: u32) {
        let target = OpenTarget::Device { namespace };
        self.mailbox.post(Letter::Open { request, path: PathBuf::from(path), target });
    }

    /// Hands to the kernel what was published, before this thread's turn of the worker would. Where the worker has a thread
    /// of its own, that one does it.
    #[napi]
    pub fn submit(&self) {
        self.attachment.submit();
    }

    /// Gives up what is being opened, without an answer. When the answer is on its way already, it comes.
    #[napi]
    pub fn cancel_open(&self, request: u32) {
        self.mailbox.post(Letter::CancelOpen { request });
    }
}
