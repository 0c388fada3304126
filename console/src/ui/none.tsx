/** None stands where a value would be. */
export function None() {
  return <span class="muted"><span aria-hidden="true">–</span><span class="sr-only">none</span></span>;
}
