//! The runtime that native HTTP handlers run on, for event handlers that have to wait for something outside.

use std::panic::resume_unwind;

use tokio::runtime::Handle;

/// The runtime of the native HTTP handlers, taken when the application is built.
///
/// Event handlers run on threads of their own, those of one socket on one. A connection pool that is used there as well as by HTTP
/// handlers would have its connections driven by threads that come and go with the load of others, so both belong on
/// this one runtime.
///
/// ```
/// # async fn query() -> u32 { 36 }
/// # #[tokio::main] async fn main() {
/// let runtime = strangler::HttpRuntime::current();
/// let answer = runtime.run(query()).await;
/// # assert_eq!(answer, 36);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HttpRuntime(Option<Handle>);

impl HttpRuntime {
    /// The one in which this is called, as the proxy does when it builds an application. `strangler check` builds it
    /// without any; `run` then stays where it is called.
    #[must_use]
    pub fn current() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Runs `work` there and waits for it. Like a promise in Node it runs to its end also when nobody waits any more.
    ///
    /// # Panics
    /// When `work` panics.
    pub async fn run<F>(&self, work: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let Some(runtime) = &self.0 else {
            return work.await;
        };
        match runtime.spawn(work).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shutting down, and with it whoever could use an answer.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn work_runs_on_the_runtime_of_its_building() {
        let native = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("native")
            .build()
            .unwrap();
        let runtime = native.block_on(async { HttpRuntime::current() });
        let events = Builder::new_current_thread().build().unwrap();
        let name = async || thread::current().name().map(str::to_owned);
        let ran_on = events.block_on(runtime.run(name()));
        assert_eq!(ran_on.as_deref(), Some("native"));

        // `strangler check` has none.
        let here = thread::current().name().map(str::to_owned);
        let nowhere = HttpRuntime::current();
        assert_eq!(events.block_on(nowhere.run(name())), here);
    }

    #[test]
    fn a_panic_reaches_who_waits() {
        let native = Builder::new_multi_thread().build().unwrap();
        let runtime = native.block_on(async { HttpRuntime::current() });
        let events = Builder::new_current_thread().build().unwrap();
        let panics = events.block_on(async {
            let waiting = tokio::spawn(async move {
                let nothing = runtime.run(async { "no number".parse::<u8>().unwrap() });
                nothing.await
            });
            waiting.await
        });
        assert!(panics.unwrap_err().is_panic());
    }
}
