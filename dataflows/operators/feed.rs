//! The way in: what a worker's sources read, handed to the dataflow at the worker's time.
//!
//! Timely's own input handle keeps what has been flushed, but not closed by a later time, in the
//! buffers of an exchange; if the worker steps meanwhile, the frontier never passes it (seen with
//! timely 0.31 and two workers). This one writes through an operator's session, which sends all.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::activate::Activator;

use crate::model::EventTime;

/// One end into which a worker feeds.
pub struct Feed<D> {
    state: Rc<RefCell<State<D>>>,
    activator: Activator,
}

struct State<D> {
    data: Vec<D>,
    /// Nothing before this will come; `None`: nothing at all will.
    time: Option<EventTime>,
}

impl<D: Clone + 'static> Feed<D> {
    /// A new way into the dataflow.
    pub fn new<'scope>(
        scope: Scope<'scope, EventTime>,
        name: &str,
    ) -> (Self, Stream<'scope, EventTime, Vec<D>>) {
        let mut builder = OperatorBuilder::new(name.to_owned(), scope);
        let (output, stream) = builder.new_output();
        let activator = scope.activator_for(builder.operator_info().address);
        let state = Rc::new(RefCell::new(State { data: Vec::new(), time: Some(EventTime::MIN) }));
        let shared = Rc::clone(&state);
        builder.build(move |capabilities| {
            let mut held = capabilities.into_iter().next();
            let mut output: OutputBuilder<EventTime, CapacityContainerBuilder<Vec<D>>> =
                OutputBuilder::from(output);
            move |_| {
                let mut state = shared.borrow_mut();
                let Some(capability) = &mut held else { return };
                if !state.data.is_empty() {
                    output.activate().session(capability).give_container(&mut state.data);
                    state.data.clear();
                }
                match state.time {
                    Some(time) if time > *capability.time() => capability.downgrade(&time),
                    Some(_) => {}
                    None => held = None,
                }
            }
        });
        (Feed { state, activator }, stream)
    }

    /// Hands over something, at the time last said.
    pub fn send(&mut self, data: D) {
        self.state.borrow_mut().data.push(data);
    }

    /// Where to put what is to be handed over, at the time last said, if it is much.
    pub fn open(&mut self) -> RefMut<'_, Vec<D>> {
        RefMut::map(self.state.borrow_mut(), |state| &mut state.data)
    }

    /// Says that nothing before `time` will be handed over any more, once what has been is gone.
    pub fn advance_to(&mut self, time: EventTime) {
        let mut state = self.state.borrow_mut();
        // Where there is nothing to tell, the worker may go to sleep.
        if state.time < Some(time) || !state.data.is_empty() {
            state.time = state.time.max(Some(time));
            self.activator.activate();
        }
    }

    /// Sends what has been handed over, at the worker's next step.
    pub fn flush(&mut self) {
        self.activator.activate();
    }
}

impl<D> Drop for Feed<D> {
    fn drop(&mut self) {
        self.state.borrow_mut().time = None;
        self.activator.activate();
    }
}
