// What scrolls sideways can be reached by the keyboard.
const reachable = () => document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code").forEach((box) => {
  box.tabIndex = 0;
});
new MutationObserver(reachable).observe(document.documentElement, { childList: true, subtree: true });
reachable();
