// The tour on this page: the address says its stop, and a stop opens its tab. `element` is what gr.HTML hands to js_on_load.
const whenOpened = (act) => (window.neatlabOpened ? act() : requestAnimationFrame(() => whenOpened(act)));
const tour = makeTour(element.querySelector("#tour"), {
  onStop(stop) {
    whenOpened(() => window.neatlabSetLink({ tour: stop || null }));
    if (!stop) document.getElementById("show-tour").focus({ preventScroll: true });
  },
  bring({ dataset }) {
    if (!document.getElementById(`tab-${dataset.tab}`)?.getClientRects().length) window.neatlabOpenTab(dataset.tab);
  },
});
window.neatlabStartTour = () => tour.go(1);
document.addEventListener("click", ({ target }) => target.closest("[data-start-tour]") && tour.go(1));
whenOpened(() => tour.show(Number(new URLSearchParams(location.search).get("tour"))));
