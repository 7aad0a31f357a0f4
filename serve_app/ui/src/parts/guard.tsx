import { Component, type ComponentChildren } from "preact";
import { asApiError } from "../api/http";
import { Failure } from "./basics";

/** A fault of one view leaves the rest of the page as it is. */
export class Guard extends Component<{ children: ComponentChildren }, { error: unknown }> {
  override state = { error: null as unknown };

  static override getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  render(): ComponentChildren {
    if (this.state.error === null) return this.props.children;
    const again = () => this.setState({ error: null });
    return <Failure error={asApiError(this.state.error)} onRetry={again} />;
  }
}
