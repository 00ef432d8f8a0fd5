// Command kubelet speaks to a plugin as the kubelet of Kubernetes does: it dials the registration socket as the
// plugin manager does (a bare path, no authority), and the CSI socket as the CSI client does (authority "localhost").
//
//	kubelet register SOCKET             GetInfo and NotifyRegistrationStatus, then NodeGetInfo at the endpoint it was told
//	kubelet refuse SOCKET REASON        GetInfo and a refusal
//	kubelet call SOCKET COUNT           NodeGetCapabilities so often on one connection, with headers of many sizes
//
// What it was told is printed as lines of "name: value".
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	pluginregistration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Longer than kubelet's (10 s to dial, 1 s for GetInfo): a busy machine is no fault of the plugin.
const patience = 60 * time.Second

// How long the text of a header is: one for itself, one that soon fills the table of headers (4096 bytes), and one that
// is larger than that table.
var lengths = [...]int{10, 900, 12000}

func dial(_ context.Context, path string) (net.Conn, error) {
	return (&net.Dialer{}).Dial("unix", path)
}

// The plugin manager's way, to the letter of its options.
func registrationClient(ctx context.Context, socket string) (*grpc.ClientConn, error) {
	return grpc.DialContext(ctx, socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithBlock(),
		grpc.WithContextDialer(dial),
	)
}

// The CSI client's way.
func csiClient(socket string) (*grpc.ClientConn, error) {
	return grpc.Dial(socket,
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
	)
}

func register(ctx context.Context, socket string, refusal string) error {
	connection, err := registrationClient(ctx, socket)
	if err != nil {
		return fmt.Errorf("dial %s: %w", socket, err)
	}
	defer connection.Close()
	client := pluginregistration.NewRegistrationClient(connection)
	info, err := client.GetInfo(ctx, &pluginregistration.InfoRequest{})
	if err != nil {
		return fmt.Errorf("GetInfo: %w", err)
	}
	fmt.Printf("type: %s\nname: %s\nendpoint: %s\nversions: %s\n",
		info.Type, info.Name, info.Endpoint, strings.Join(info.SupportedVersions, ","))
	if refusal == "" {
		if err := nodeInfo(ctx, info.Endpoint); err != nil {
			return err
		}
	}
	_, err = client.NotifyRegistrationStatus(ctx, &pluginregistration.RegistrationStatus{
		PluginRegistered: refusal == "",
		Error:            refusal,
	})
	if err != nil {
		return fmt.Errorf("NotifyRegistrationStatus: %w", err)
	}
	return nil
}

func nodeInfo(ctx context.Context, socket string) error {
	connection, err := csiClient(socket)
	if err != nil {
		return fmt.Errorf("dial %s: %w", socket, err)
	}
	defer connection.Close()
	info, err := csi.NewNodeClient(connection).NodeGetInfo(ctx, &csi.NodeGetInfoRequest{})
	if err != nil {
		return fmt.Errorf("NodeGetInfo: %w", err)
	}
	fmt.Printf("node: %s\n", info.NodeId)
	return nil
}

func call(ctx context.Context, socket string, count int) error {
	// The bare path as authority, as before grpc-go 1.32.
	connection, err := grpc.DialContext(ctx, socket,
		grpc.WithAuthority(socket),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
	)
	if err != nil {
		return fmt.Errorf("dial %s: %w", socket, err)
	}
	defer connection.Close()
	node := csi.NewNodeClient(connection)
	for i := range count {
		value := strconv.Itoa(i) + strings.Repeat("x", lengths[i%len(lengths)])
		ctx := metadata.AppendToOutgoingContext(ctx, "x-filler", value)
		if _, err := node.NodeGetCapabilities(ctx, &csi.NodeGetCapabilitiesRequest{}); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	fmt.Printf("calls: %d\n", count)
	return nil
}

func run(ctx context.Context, arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "register":
		return register(ctx, arguments[1], "")
	case len(arguments) == 3 && arguments[0] == "refuse":
		return register(ctx, arguments[1], arguments[2])
	case len(arguments) == 3 && arguments[0] == "call":
		count, err := strconv.Atoi(arguments[2])
		if err != nil {
			return fmt.Errorf("COUNT: %w", err)
		}
		return call(ctx, arguments[1], count)
	default:
		return fmt.Errorf("usage: kubelet register SOCKET | refuse SOCKET REASON | call SOCKET COUNT")
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
